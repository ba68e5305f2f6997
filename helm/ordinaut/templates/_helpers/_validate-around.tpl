{{/*
What `ordinaut.validate` refuses of the values around the core: autoscalers, routes, monitors, network policies, stores.
Each mistake is a line of `include "ordinaut.mistake" (dict "key" … "why" … "write" …)`.
*/}}

{{- define "ordinaut.validate.around" -}}
{{- range list "autoscaling" "keda" "routes" "monitors" "rules" "dashboards" "networkPolicy" "trial" -}}
{{- include (printf "ordinaut.validate.around.%s" .) $ -}}
{{- end -}}
{{- end }}

{{- define "ordinaut.validate.around.autoscaling" -}}
{{- $scalers := dict "api.autoscaling" .Values.api.autoscaling -}}
{{- $sections := dict "api" .Values.api -}}
{{- range $component := include "ordinaut.workers" $ | fromYamlArray -}}
{{- $section := include "ordinaut.validate.section" $component -}}
{{- $worker := get $.Values $component -}}
{{- $_ := set $sections $section $worker -}}
{{- $_ := set $scalers (printf "%s.autoscaling" $section) $worker.autoscaling -}}
{{- $_ := set $scalers (printf "%s.keda" $section) $worker.keda -}}
{{- if and $worker.autoscaling.enabled $worker.keda.enabled -}}
{{- include "ordinaut.mistake" (dict "key" (printf "%s.autoscaling, %s.keda" $section $section) "why" "both would set the number of workers, each against the other" "write" "enabled: true in one of them; keda knows of waiting work, autoscaling only of CPU") -}}
{{- end -}}
{{- end -}}
{{- range $key, $scaler := $scalers -}}
{{- if and $scaler.enabled (gt (int $scaler.minReplicas) (int $scaler.maxReplicas)) -}}
{{- include "ordinaut.mistake" (dict "key" (printf "%s.minReplicas" $key) "why" (printf "%d is more than maxReplicas (%d)" (int $scaler.minReplicas) (int $scaler.maxReplicas)) "write" "at most maxReplicas") -}}
{{- end -}}
{{- end -}}
{{- range $key, $section := $sections -}}
{{- if and $section.autoscaling.enabled (not (dig "requests" "cpu" "" ($section.resources | default dict))) -}}
{{- include "ordinaut.mistake" (dict "key" (printf "%s.resources.requests.cpu" $key) "why" "autoscaling measures CPU as a part of what is requested, and nothing is" "write" "a request, such as 100m") -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "ordinaut.validate.around.keda" -}}
{{- range $component := include "ordinaut.workers" $ | fromYamlArray -}}
{{- with (get $.Values $component).keda -}}
{{- if and .enabled (gt (int .fallback.replicas) (int .maxReplicas)) -}}
{{- include "ordinaut.mistake" (dict "key" (printf "%s.keda.fallback.replicas" (include "ordinaut.validate.section" $component)) "why" (printf "%d is more than maxReplicas (%d)" (int .fallback.replicas) (int .maxReplicas)) "write" "at most maxReplicas") -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "ordinaut.validate.around.routes" -}}
{{- with .Values.api -}}
{{- range $key, $route := dict "api.ingress" .ingress "api.httpRoute" .httpRoute -}}
{{- if and $route.enabled (not $.Values.api.enabled) -}}
{{- include "ordinaut.mistake" (dict "key" (printf "%s.enabled" $key) "why" "there is no api to send requests to" "write" "api.enabled=true, or leave the route out") -}}
{{- end -}}
{{- end -}}
{{- if and .ingress.enabled (not .ingress.hosts) -}}
{{- include "ordinaut.mistake" (dict "key" "api.ingress.hosts" "why" "without a host the Ingress would answer for every name" "write" "the host names, as [ordinaut.example]") -}}
{{- end -}}
{{- if and .httpRoute.enabled (not .httpRoute.parentRefs) -}}
{{- include "ordinaut.mistake" (dict "key" "api.httpRoute.parentRefs" "why" "a route without a gateway gets no requests" "write" "the gateways, as [{name: public, namespace: gateways}]") -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "ordinaut.validate.around.monitors" -}}
{{- if and .Values.metrics.podMonitor.enabled .Values.metrics.serviceMonitor.enabled -}}
{{- include "ordinaut.mistake" (dict "key" "metrics.podMonitor, metrics.serviceMonitor" "why" "every pod would be scraped twice, and each sum be the double" "write" "enabled: true in one of them; podMonitor unless your Prometheus watches Services only") -}}
{{- end -}}
{{- $instant := toDate "2006-01-02" "2006-01-02" -}}
{{- range $key, $monitor := dict "podMonitor" .Values.metrics.podMonitor "serviceMonitor" .Values.metrics.serviceMonitor -}}
{{- if and $monitor.enabled (($instant | dateModify $monitor.interval).Before ($instant | dateModify $monitor.scrapeTimeout)) -}}
{{- include "ordinaut.mistake" (dict "key" (printf "metrics.%s.scrapeTimeout" $key) "why" (printf "%s is longer than the interval (%s), and the Prometheus operator leaves such a monitor out" $monitor.scrapeTimeout $monitor.interval) "write" "at most the interval") -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "ordinaut.validate.around.rules" -}}
{{- $known := include "ordinaut.alerts" . | fromYaml -}}
{{- $names := keys $known | sortAlpha | join ", " -}}
{{- with .Values.metrics.prometheusRule -}}
{{- range .disabled -}}
{{- if not (hasKey $known .) -}}
{{- include "ordinaut.mistake" (dict "key" "metrics.prometheusRule.disabled" "why" (printf "there is no alert %s" .) "write" (printf "some of %s" $names)) -}}
{{- end -}}
{{- end -}}
{{- range $name, $_ := .thresholds -}}
{{- if not (hasKey $known $name) -}}
{{- include "ordinaut.mistake" (dict "key" (printf "metrics.prometheusRule.thresholds.%s" $name) "why" "there is no such alert" "write" (printf "one of %s" $names)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "ordinaut.validate.around.dashboards" -}}
{{- with .Values.metrics.dashboards -}}
{{- if and .grafanaOperator.enabled (not .enabled) -}}
{{- include "ordinaut.mistake" (dict "key" "metrics.dashboards.grafanaOperator.enabled" "why" "it says how dashboards are made, and none are" "write" "metrics.dashboards.enabled=true too") -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "ordinaut.validate.around.networkPolicy" -}}
{{- with .Values.networkPolicy -}}
{{- if and .enabled (eq .flavor "cilium") .apiServer.cidrs -}}
{{- include "ordinaut.mistake" (dict "key" "networkPolicy.apiServer.cidrs" "why" "Cilium knows the API server as an entity, and no network of it" "write" "leave it empty, or flavor: kubernetes") -}}
{{- end -}}
{{- if and .enabled (eq .workerEgress "any") .extraEgress.worker -}}
{{- include "ordinaut.mistake" (dict "key" "networkPolicy.extraEgress.worker" "why" "with workerEgress any, workers may call every address already" "write" "workerEgress: listed, or leave this empty") -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "ordinaut.validate.around.trial" -}}
{{- if and .Values.trial.enabled (not .Values.rbac.create) -}}
{{- include "ordinaut.mistake" (dict "key" "trial.enabled" "why" "a Job makes the passwords of the trial stores, and without rbac.create it may make no Secret" "write" "rbac.create=true, or stores of your own") -}}
{{- end -}}
{{- end }}
