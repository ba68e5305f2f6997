{{/*
An image's full name: a digest counts more than a tag, a global registry more than the image's own.
Takes root; image, the map in the values, by default `image`, whose tag is the appVersion by default.
*/}}
{{- define "ordinaut.image" -}}
{{- $image := .image | default .root.Values.image -}}
{{- $registry := .root.Values.global.imageRegistry | default $image.registry -}}
{{- $name := ternary (printf "%s/%s" $registry $image.repository) $image.repository (not (empty $registry)) -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name ($image.tag | default .root.Chart.AppVersion | toString) -}}
{{- end -}}
{{- end }}
