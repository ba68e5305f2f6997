{{/*
Workers: `worker`, and a Deployment of its own for each of `workerPools`.

A pool is a component like others, worker-<name>: its values are those of `worker` with its own over them. They are put
beside those of the other components, where every helper that takes root and component finds them.
*/}}

{{/* The components that are workers, as a YAML list; their values are there afterwards. Takes the root. */}}
{{- define "ordinaut.workers" -}}
{{- $components := list "worker" -}}
{{- range .Values.workerPools -}}
{{- $component := printf "worker-%s" .name -}}
{{- $components = append $components $component -}}
{{- $account := dig "serviceAccount" "name" "" . | default (include "ordinaut.serviceAccountName" (dict "root" $ "component" "worker")) -}}
{{- $values := mergeOverwrite (deepCopy $.Values.worker) (omit . "name" | deepCopy) (dict "serviceAccount" (dict "create" false "name" $account)) -}}
{{- $_ := set $.Values $component $values -}}
{{- end -}}
{{- toYaml $components -}}
{{- end }}

{{/* Seconds until a worker is killed. Takes root, component. */}}
{{- define "ordinaut.worker.grace" -}}
{{- $worker := get .root.Values .component -}}
{{- $worker.terminationGracePeriodSeconds | default (add $worker.drainSeconds 15) | int -}}
{{- end }}

{{/* The longest lease of a worker, in seconds. Takes the root. */}}
{{- define "ordinaut.worker.lease" -}}
{{- $longest := 0 -}}
{{- range include "ordinaut.workers" . | fromYamlArray -}}
{{- $longest = max $longest (get $.Values . ).leaseSeconds -}}
{{- end -}}
{{- $longest -}}
{{- end }}

{{/* The queues of a worker as an array of PostgreSQL. Takes root, component. */}}
{{- define "ordinaut.worker.queues" -}}
'{ {{- join "," (get .root.Values .component).queues -}} }'
{{- end }}
