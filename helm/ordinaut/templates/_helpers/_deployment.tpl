{{/*
What the Deployments, their service accounts and disruption budgets have in common.
*/}}

{{/* A Deployment's spec without its template. Takes root, component. */}}
{{- define "ordinaut.deployment" -}}
{{- $settings := include "ordinaut.settings" . | fromYaml -}}
{{- with include "ordinaut.replicas" . }}
{{- . }}
{{ end -}}
revisionHistoryLimit: {{ $settings.revisionHistoryLimit }}
strategy:
  {{- $strategy := $settings.updateStrategy }}
  {{- ternary (dict "type" "Recreate") $strategy (eq $strategy.type "Recreate") | toYaml | nindent 2 }}
selector:
  matchLabels:
    {{- include "ordinaut.selectorLabels" . | nindent 4 }}
{{- end }}

{{/* A service account, unless it is brought. Takes root, component. */}}
{{- define "ordinaut.serviceAccount" -}}
{{- $account := (get .root.Values .component).serviceAccount -}}
{{- if $account.create -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "ordinaut.metadata" (merge (dict "name" (include "ordinaut.serviceAccountName" .) "annotations" $account.annotations) .) | nindent 2 }}
automountServiceAccountToken: false
{{- end -}}
{{- end }}

{{/* A disruption budget, where there are several pods: with one it would only be in the way. Takes root, component. */}}
{{- define "ordinaut.podDisruptionBudget" -}}
{{- $budget := (get .root.Values .component).podDisruptionBudget -}}
{{- if and $budget.enabled (gt (include "ordinaut.minReplicas" . | int) 1) -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "ordinaut.metadata" (merge (dict "name" (include "ordinaut.componentName" .)) .) | nindent 2 }}
spec:
  maxUnavailable: {{ $budget.maxUnavailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "ordinaut.selectorLabels" . | nindent 6 }}
{{- end -}}
{{- end }}
