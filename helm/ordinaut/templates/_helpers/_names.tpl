{{/*
Names of objects. Cut so short that what is appended ("-migrate-1a2b3c4d", a pod's suffix) stays within 63 characters.
*/}}

{{- define "ordinaut.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{/* First part of every name: the release's, and the chart's unless the release is called like it. */}}
{{- define "ordinaut.fullname" -}}
{{- $name := include "ordinaut.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "ordinaut.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end }}

{{/* Name of a component's objects. Takes root, component. */}}
{{- define "ordinaut.componentName" -}}
{{- printf "%s-%s" (include "ordinaut.fullname" .root) .component -}}
{{- end }}

{{/* Service account of a component. Jobs and tests have none of their own: they exist before it does. Takes root, component. */}}
{{- define "ordinaut.serviceAccountName" -}}
{{- $account := (get .root.Values .component | default dict).serviceAccount | default dict -}}
{{- if $account.create -}}
{{- $account.name | default (include "ordinaut.componentName" .) -}}
{{- else -}}
{{- $account.name | default "default" -}}
{{- end -}}
{{- end }}
