{{/*
Environment of the processes: where the database and Redis are, logs, traces. The same for every component, so that
what one can reach the others can, and the migration Job too.
*/}}

{{/* Secret that says where the database is. Takes the root. */}}
{{- define "ordinaut.database.secretName" -}}
{{- if .Values.database.cnpg.enabled -}}
{{- printf "%s-postgres-app" (include "ordinaut.fullname" .) -}}
{{- else if .Values.trial.enabled -}}
{{- include "ordinaut.trial.secretName" . -}}
{{- else -}}
{{- .Values.database.existingSecret -}}
{{- end -}}
{{- end }}

{{/* Key of the database's address in it; empty: by the parts. Takes the root. */}}
{{- define "ordinaut.database.uriKey" -}}
{{- if .Values.database.cnpg.enabled -}}
uri
{{- else if .Values.trial.enabled -}}
database-uri
{{- else -}}
{{- .Values.database.keys.uri -}}
{{- end -}}
{{- end }}

{{/* Secret with the CA of the database, or empty. Takes the root. */}}
{{- define "ordinaut.database.caSecret" -}}
{{- if .Values.database.tls.caSecret -}}
{{- .Values.database.tls.caSecret -}}
{{- else if .Values.database.cnpg.enabled -}}
{{- printf "%s-postgres-ca" (include "ordinaut.fullname" .) -}}
{{- end -}}
{{- end }}

{{/* Secret with the address of Redis; empty: there is none, and events stay in the database. Takes the root. */}}
{{- define "ordinaut.redis.secretName" -}}
{{- if .Values.trial.enabled -}}
{{- include "ordinaut.trial.secretName" . -}}
{{- else -}}
{{- .Values.redis.existingSecret -}}
{{- end -}}
{{- end }}

{{/* Key of the address in it. Takes the root. */}}
{{- define "ordinaut.redis.uriKey" -}}
{{- ternary "redis-uri" .Values.redis.keys.uri .Values.trial.enabled -}}
{{- end }}

{{/* A variable from a key of a Secret. Takes variable, secret, key. */}}
{{- define "ordinaut.env.fromSecret" -}}
- name: {{ .variable }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret | quote }}
      key: {{ .key | quote }}
{{ end }}

{{/* Where the database is. Takes the root. */}}
{{- define "ordinaut.env.database" -}}
{{- $secret := include "ordinaut.database.secretName" . -}}
{{- with include "ordinaut.database.uriKey" . -}}
{{- include "ordinaut.env.fromSecret" (dict "variable" "ORDINAUT_DATABASE_URL" "secret" $secret "key" .) -}}
{{- else -}}
{{- $keys := .Values.database.keys -}}
{{- range $part, $variable := dict "host" "PGHOST" "port" "PGPORT" "username" "PGUSER" "password" "PGPASSWORD" "dbname" "PGDATABASE" -}}
{{- with get $keys $part -}}
{{- include "ordinaut.env.fromSecret" (dict "variable" $variable "secret" $secret "key" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
- name: PGSSLMODE
  value: {{ .Values.database.tls.mode }}
{{- if include "ordinaut.database.caSecret" . }}
- name: PGSSLROOTCERT
  value: {{ printf "/etc/ordinaut/tls/database/%s" .Values.database.tls.caKey | quote }}
{{- end }}
{{- end }}

{{/* Where events go. Takes the root. */}}
{{- define "ordinaut.env.redis" -}}
{{- with include "ordinaut.redis.secretName" . -}}
{{- include "ordinaut.env.fromSecret" (dict "variable" "ORDINAUT_REDIS_URL" "secret" . "key" (include "ordinaut.redis.uriKey" $)) -}}
{{- if $.Values.redis.tls.caSecret -}}
- name: ORDINAUT_REDIS_CA_FILE
  value: {{ printf "/etc/ordinaut/tls/redis/%s" $.Values.redis.tls.caKey | quote }}
{{- end -}}
{{- else -}}
- name: ORDINAUT_EVENTS
  value: "off"
{{- end -}}
{{- end }}

{{/* Logs. Takes the root. */}}
{{- define "ordinaut.env.logging" -}}
- name: ORDINAUT_LOG_LEVEL
  value: {{ upper .Values.logging.level }}
- name: ORDINAUT_LOG_FORMAT
  value: {{ .Values.logging.format }}
{{- end }}

{{/* Traces, or nothing. Takes the root. */}}
{{- define "ordinaut.env.tracing" -}}
{{- with .Values.tracing -}}
{{- if .otlpEndpoint -}}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .otlpEndpoint | quote }}
- name: OTEL_TRACES_SAMPLER
  value: parentbased_traceidratio
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ .sampleRatio | toString | quote }}
{{- if .headersSecret.name }}
{{ include "ordinaut.env.fromSecret" (dict "variable" "OTEL_EXPORTER_OTLP_HEADERS" "secret" .headersSecret.name "key" .headersSecret.key) | trim }}
{{- end }}
{{- with .resourceAttributes }}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: {{ include "ordinaut.env.attributes" . | quote }}
{{- end }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* A map as name=value with commas, what has a meaning there percent-encoded. */}}
{{- define "ordinaut.env.attributes" -}}
{{- $pairs := list -}}
{{- range $name, $value := . -}}
{{- $pairs = append $pairs (printf "%s=%s" $name (toString $value | replace "%" "%25" | replace "," "%2C" | replace "=" "%3D")) -}}
{{- end -}}
{{- join "," $pairs -}}
{{- end }}

{{/* Who vouches for callers: api and operator must be told the same. Takes the root. */}}
{{- define "ordinaut.env.authentication" -}}
{{- with .Values.authentication -}}
- name: ORDINAUT_AUTHENTICATION
  value: {{ join "," .modes | quote }}
{{- if has "kubernetes" .modes }}
- name: ORDINAUT_KUBERNETES_AUDIENCE
  value: {{ .audience | quote }}
{{- end }}
{{- if include "ordinaut.access.source" $ }}
- name: ORDINAUT_ACCESS_FILE
  value: {{ printf "/etc/ordinaut/access/%s" .accessFile.key | quote }}
{{- end }}
{{- if has "oidc" .modes }}
- name: ORDINAUT_OIDC_ISSUER
  value: {{ .oidc.issuer | quote }}
- name: ORDINAUT_OIDC_AUDIENCE
  value: {{ .oidc.audience | quote }}
- name: ORDINAUT_OIDC_USERNAME_CLAIM
  value: {{ .oidc.usernameClaim | quote }}
- name: ORDINAUT_OIDC_GROUPS_CLAIM
  value: {{ .oidc.groupsClaim | quote }}
{{- end }}
{{- end -}}
{{- end }}

{{/* The volume source of the access file, or nothing. Takes the root. */}}
{{- define "ordinaut.access.source" -}}
{{- with .Values.authentication.accessFile -}}
{{- if .existingSecret -}}
secret: {secretName: {{ .existingSecret | quote }}, items: [{key: {{ .key | quote }}, path: {{ .key | quote }}}]}
{{- else if .existingConfigMap -}}
configMap: {name: {{ .existingConfigMap | quote }}, items: [{key: {{ .key | quote }}, path: {{ .key | quote }}}]}
{{- end -}}
{{- end -}}
{{- end }}
