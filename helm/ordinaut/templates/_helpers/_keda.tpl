{{/*
How KEDA reaches the database: from its own namespace, with parameters out of a Secret beside the workers.
*/}}

{{/* Parameters of KEDA's PostgreSQL scaler by the keys of a Secret, as YAML: parameter, name, key. Takes the root. */}}
{{- define "ordinaut.keda.parameters" -}}
{{- $own := .Values.worker.keda.connectionSecret -}}
{{- $secret := $own.name | default (include "ordinaut.database.secretName" .) -}}
{{- $uri := ternary $own.key (include "ordinaut.database.uriKey" .) (not (empty $own.name)) -}}
{{- if $uri -}}
- {parameter: connection, name: {{ $secret | quote }}, key: {{ $uri | quote }}}
{{- else -}}
{{- range $part, $parameter := dict "host" "host" "port" "port" "username" "userName" "password" "password" "dbname" "dbName" }}
{{- with get $.Values.database.keys $part }}
- {parameter: {{ $parameter }}, name: {{ $secret | quote }}, key: {{ . | quote }}}
{{- end }}
{{- end }}
{{- end -}}
{{- end }}

{{/* A trigger on the number that a query returns. Takes root, component, query, authentication (the TriggerAuthentication's name). */}}
{{- define "ordinaut.keda.trigger" -}}
type: postgresql
metadata:
  query: {{ .query | quote }}
  targetQueryValue: {{ (get .root.Values .component).keda.runsPerReplica | int64 | toString | quote }}
  activationTargetQueryValue: "0"
  {{- /* Where the address comes in parts, these two are no secrets, and KEDA has no defaults for them. */}}
  {{- if not (contains "parameter: connection" (include "ordinaut.keda.parameters" .root)) }}
  sslmode: {{ .root.Values.database.tls.mode }}
  {{- if not .root.Values.database.keys.port }}
  port: "5432"
  {{- end }}
  {{- end }}
authenticationRef: {name: {{ .authentication }}}
{{- end }}
