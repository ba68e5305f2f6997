{{/*
How many pods of a component there are. An autoscaler owns the number where there is one: `replicas` beside it would
set it back at every upgrade.
*/}}

{{/* Least number of pods. Takes root, component. */}}
{{- define "ordinaut.minReplicas" -}}
{{- $section := get .root.Values .component -}}
{{- if ($section.autoscaling | default dict).enabled -}}
{{- $section.autoscaling.minReplicas | int -}}
{{- else if ($section.keda | default dict).enabled -}}
{{- $section.keda.minReplicas | int -}}
{{- else -}}
{{- $section.replicas | int -}}
{{- end -}}
{{- end }}

{{/* The line `replicas`, or nothing. Takes root, component. */}}
{{- define "ordinaut.replicas" -}}
{{- $section := get .root.Values .component -}}
{{- if not (or ($section.autoscaling | default dict).enabled ($section.keda | default dict).enabled) -}}
replicas: {{ $section.replicas | int }}
{{- end -}}
{{- end }}
