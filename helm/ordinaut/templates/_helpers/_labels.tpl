{{/*
Labels and metadata. Selectors are immutable: what selects is name, instance and component, for ever.
*/}}

{{/* Takes root, component. */}}
{{- define "ordinaut.selectorLabels" -}}
app.kubernetes.io/name: ordinaut
app.kubernetes.io/instance: {{ .root.Release.Name | trunc 63 | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/*
Labels of an object: commonLabels, and the chart's own, which win. Takes root; component, if it belongs to one; labels,
further ones; pod, true for a pod, which a new version of the chart alone shall not start anew.
*/}}
{{- define "ordinaut.labels" -}}
{{- $own := dict
  "app.kubernetes.io/name" "ordinaut"
  "app.kubernetes.io/instance" (.root.Release.Name | trunc 63)
  "app.kubernetes.io/version" (.root.Values.image.tag | default .root.Chart.AppVersion | toString | replace "+" "_" | trunc 63 | regexFind "^.*[A-Za-z0-9]")
  "app.kubernetes.io/managed-by" .root.Release.Service
  "app.kubernetes.io/part-of" "ordinaut" -}}
{{- if not .pod -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63) -}}
{{- end -}}
{{- with .component }}{{ $_ := set $own "app.kubernetes.io/component" . }}{{ end -}}
{{- toYaml (merge $own (.labels | default dict) (.root.Values.commonLabels | default dict)) -}}
{{- end }}

{{/*
Metadata of an object, without its braces. Takes root, name; component, if it belongs to one; labels and annotations,
further ones; namespace, if it is another than that of all; cluster, true for an object without a namespace.
*/}}
{{- define "ordinaut.metadata" -}}
name: {{ .name }}
{{- if not .cluster }}
namespace: {{ .namespace | default (include "ordinaut.namespace" .root) }}
{{- end }}
labels:
  {{- include "ordinaut.labels" . | nindent 2 }}
{{- with merge dict (.annotations | default dict) (.root.Values.commonAnnotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
