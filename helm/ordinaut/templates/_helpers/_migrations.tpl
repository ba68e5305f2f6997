{{/*
How the database gets its schema: by a hook before everything else, which needs a database that is there already; or by
a Job among everything else, while the new pods wait and the old ones go on.
*/}}

{{/* hook, job or none. Takes the root. */}}
{{- define "ordinaut.migrations.mode" -}}
{{- if ne .Values.migrations.mode "auto" -}}
{{- .Values.migrations.mode -}}
{{- else -}}
{{- ternary "job" "hook" (or .Values.trial.enabled .Values.database.cnpg.enabled) -}}
{{- end -}}
{{- end }}

{{/* The Job's spec. It talks to no API server, so it has no service account and no token. Takes the root. */}}
{{- define "ordinaut.migrations.spec" -}}
backoffLimit: {{ .Values.migrations.backoffLimit | int }}
activeDeadlineSeconds: {{ .Values.migrations.activeDeadlineSeconds | int }}
template:
  {{- include "ordinaut.pod" (dict
    "root" .
    "component" "migrate"
    "command" (list "ordinaut" "migrate")
    "resources" .Values.migrations.resources
    "restartPolicy" "Never"
  ) | nindent 2 }}
{{- end }}
