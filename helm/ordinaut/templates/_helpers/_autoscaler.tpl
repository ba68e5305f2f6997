{{/*
A HorizontalPodAutoscaler on CPU for a component, where its values ask for one. Takes root, component.
*/}}
{{- define "ordinaut.horizontalPodAutoscaler" -}}
{{- $autoscaling := (get .root.Values .component).autoscaling -}}
{{- if $autoscaling.enabled -}}
{{- $name := include "ordinaut.componentName" . -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "ordinaut.metadata" (merge (dict "name" $name) .) | nindent 2 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ $name }}}
  minReplicas: {{ $autoscaling.minReplicas | int }}
  maxReplicas: {{ $autoscaling.maxReplicas | int }}
  metrics:
  - type: Resource
    resource:
      name: cpu
      target: {type: Utilization, averageUtilization: {{ $autoscaling.targetCPUUtilizationPercentage | int }}}
  {{- with $autoscaling.behavior }}
  behavior:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
{{- end }}
