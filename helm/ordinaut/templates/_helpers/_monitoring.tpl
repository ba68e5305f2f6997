{{/*
What monitors, rules and dashboards have in common. The label `job` of everything scraped is ordinaut-<component>,
whatever the release is called: rules and dashboards are written for it; `namespace` tells installations apart.
*/}}

{{/* The components that serve metrics, as YAML. Takes the root. */}}
{{- define "ordinaut.metrics.components" -}}
{{- $workers := include "ordinaut.workers" . | fromYamlArray -}}
{{- concat (list "operator") $workers (ternary (list "api") list .Values.api.enabled) | toYaml -}}
{{- end }}

{{/* An endpoint of a PodMonitor or ServiceMonitor. Takes monitor, the section of the values; source, what has the component's label. */}}
{{- define "ordinaut.metrics.endpoint" -}}
port: probes
path: /metrics
interval: {{ .monitor.interval }}
scrapeTimeout: {{ .monitor.scrapeTimeout }}
relabelings:
- sourceLabels: [__meta_kubernetes_{{ .source }}_label_app_kubernetes_io_component]
  regex: (operator|worker|api)(-.+)?   # pools are workers
  targetLabel: job
  replacement: ordinaut-$1
{{- with .monitor.relabelings }}
{{ toYaml . }}
{{- end }}
{{- with .monitor.metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The alerts in files/rules by name, as YAML. Takes the root. */}}
{{- define "ordinaut.alerts" -}}
{{- $alerts := dict -}}
{{- range $path, $_ := .Files.Glob "files/rules/*.yaml" -}}
{{- range ($.Files.Get $path | fromYaml).groups -}}
{{- range .rules -}}
{{- with .alert }}{{ $_ := set $alerts . true }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $alerts -}}
{{- end }}

{{/*
A rule as it stands in files/rules, with what the values change in it, as YAML; nothing where it is disabled.
Takes root, rule. The threshold is the number at the end of an alert's expression, as files/rules says.
*/}}
{{- define "ordinaut.rule" -}}
{{- $values := .root.Values.metrics.prometheusRule -}}
{{- $rule := .rule -}}
{{- $name := $rule.alert | default "" -}}
{{- if not (and $name (has $name $values.disabled)) -}}
{{- if $name -}}
{{- $_ := set $rule "labels" (mergeOverwrite dict ($rule.labels | default dict) ($values.additionalRuleLabels | default dict)) -}}
{{- with $values.runbookBaseUrl -}}
{{- $_ := set $rule.annotations "runbook_url" (printf "%s/%s" (trimSuffix "/" .) $name) -}}
{{- else -}}
{{- $_ := set $rule.annotations "runbook_url" (replace "/blob/main/" (printf "/blob/v%s/" $.root.Chart.AppVersion) $rule.annotations.runbook_url) -}}
{{- end -}}
{{- if hasKey ($values.thresholds | default dict) $name -}}
{{- $_ := set $rule "expr" (regexReplaceAll "[0-9.]+$" $rule.expr (get $values.thresholds $name | toString)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $rule -}}
{{- end -}}
{{- end }}
