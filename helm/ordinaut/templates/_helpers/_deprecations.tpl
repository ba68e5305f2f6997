{{/*
Keys that this chart does not have (any more), each with what to write instead: those of its own that were renamed, and
those that people know from other charts. The schema lets them pass (`make chart` reads them here), so that this answers
and not "additional properties".
*/}}

{{- define "ordinaut.renamed" -}}
affinity: defaults.affinity, or affinity of operator, worker or api
autoscaling: worker.autoscaling, worker.keda or api.autoscaling
extraEnv: defaults.extraEnv, or extraEnv of operator, worker or api
imagePullSecrets: global.imagePullSecrets
ingress: api.ingress
installCRDs: crds.enabled
nodeSelector: defaults.nodeSelector, or nodeSelector of operator, worker or api
podAnnotations: defaults.podAnnotations, or podAnnotations of operator, worker or api
podSecurityContext: defaults.podSecurityContext
postgresql: database.existingSecret, database.cnpg or trial
priorityClassName: defaults.priorityClassName
replicaCount: operator.replicas, worker.replicas and api.replicas
resources: operator.resources, worker.resources and api.resources
securityContext: defaults.containerSecurityContext
service: api.service
serviceAccount: serviceAccount of operator, worker or api
tolerations: defaults.tolerations, or tolerations of operator, worker or api
{{- end }}

{{- define "ordinaut.validate.renamed" -}}
{{- range $key, $instead := include "ordinaut.renamed" . | fromYaml -}}
{{- if hasKey $.Values $key -}}
{{- include "ordinaut.mistake" (dict "key" $key "why" "this chart has no such value" "write" $instead) -}}
{{- end -}}
{{- end -}}
{{- end }}
