{{/*
Whether an object of a kind that not every cluster knows is rendered: "true" or "", or a failure with the remedy, by
metrics.renderMode. Helm answers for a group and for a kind separately, and `--api-versions` adds the exact text only,
so either will do. Takes root, enabled, api ("monitoring.coreos.com/v1"), kind, key (the value that switched it on).
*/}}
{{- define "ordinaut.render" -}}
{{- if .enabled -}}
{{- $mode := .root.Values.metrics.renderMode -}}
{{- $versions := .root.Capabilities.APIVersions -}}
{{- $known := or ($versions.Has .api) ($versions.Has (printf "%s/%s" .api .kind)) -}}
{{- if or $known (eq $mode "alwaysRender") -}}
true
{{- else if eq $mode "failIfMissing" -}}
{{- $remedy := "install it first; or render without asking the cluster (metrics.renderMode=alwaysRender, as GitOps tools need), or leave the object out (skipIfMissing)" -}}
{{- fail (printf "\n%s: the cluster does not know %s of %s: %s" .key .kind .api $remedy) -}}
{{- end -}}
{{- end -}}
{{- end }}
