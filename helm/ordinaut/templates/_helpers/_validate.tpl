{{/*
Refuses what the schema can't see and what could not work: everything at once, each with the key, the reason and what to
write instead. Called by validate.yaml. What surrounds the core (autoscalers, routes, monitors, network policies, stores)
is in _validate-around.tpl.
*/}}

{{- define "ordinaut.validate" -}}
{{- $mistakes := list -}}
{{- range list "renamed" "names" "pools" "pods" "accounts" "authentication" "database" "redis" "migrations" "grace" "tracing" "around" -}}
{{- range include (printf "ordinaut.validate.%s" .) $ | splitList "\n" -}}
{{- with trim . }}{{ $mistakes = append $mistakes . }}{{ end -}}
{{- end -}}
{{- end -}}
{{- with $mistakes -}}
{{- fail (printf "\n\nThese values can't work:\n  %s\n" (join "\n  " .)) -}}
{{- end -}}
{{- end }}

{{/* A line that says what is wrong. Takes key, why, write. */}}
{{- define "ordinaut.mistake" }}
{{ .key }}: {{ .why }}; write {{ .write }}
{{- end }}

{{- define "ordinaut.validate.names" -}}
{{- $fullname := include "ordinaut.fullname" . -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $fullname) -}}
{{- include "ordinaut.mistake" (dict "key" "fullnameOverride" "why" (printf "%q, made of the release's name, can't begin the names of Services" $fullname) "write" "set fullnameOverride to lower-case letters, digits and dashes, the first a letter") -}}
{{- end -}}
{{- end }}

{{/* Fields of pods that the chart writes itself would stand there twice. */}}
{{- define "ordinaut.validate.pods" -}}
{{- $written := dict
  "affinity" "affinity"
  "automountServiceAccountToken" "nothing: only pods that need a token get one"
  "containers" "extraContainers"
  "enableServiceLinks" "nothing: it is off"
  "imagePullSecrets" "global.imagePullSecrets"
  "initContainers" "extraInitContainers"
  "nodeSelector" "nodeSelector"
  "priorityClassName" "priorityClassName"
  "restartPolicy" "nothing: it follows from what the pod is for"
  "securityContext" "podSecurityContext"
  "serviceAccountName" "serviceAccount.name of the component"
  "terminationGracePeriodSeconds" "terminationGracePeriodSeconds of the component"
  "tolerations" "tolerations"
  "topologySpreadConstraints" "topologySpreadConstraints"
  "volumes" "extraVolumes" -}}
{{- range $section := concat (list "defaults" "operator" "api" "migrations" "tests") (include "ordinaut.workers" $ | fromYamlArray) -}}
{{- range $field, $_ := (get $.Values $section).extraPodSpec -}}
{{- with get $written $field -}}
{{- include "ordinaut.mistake" (dict "key" (printf "%s.extraPodSpec.%s" (include "ordinaut.validate.section" $section) $field) "why" "the chart writes this field itself" "write" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Without a name, the rights would go to the account `default`, and so to every pod of the namespace that names none. */}}
{{- define "ordinaut.validate.accounts" -}}
{{- range $component := list "operator" "api" -}}
{{- $section := get $.Values $component -}}
{{- if not (or $section.serviceAccount.create $section.serviceAccount.name (and (eq $component "api") (not $section.enabled))) -}}
{{- include "ordinaut.mistake" (dict "key" (printf "%s.serviceAccount.name" $component) "why" "with create: false the account is yours, and it is not said which" "write" "its name") -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "ordinaut.validate.authentication" -}}
{{- $given := .Values.authentication -}}
{{- $file := $given.accessFile -}}
{{- range $given.modes -}}
{{- if eq . "local" -}}
{{- include "ordinaut.mistake" (dict "key" "authentication.modes" "why" "local lets everybody do everything, and listens on the loopback interface only: nobody could reach it in a cluster" "write" "kubernetes, or tokens or oidc with authentication.accessFile") -}}
{{- else if not (has . (list "kubernetes" "oidc" "tokens")) -}}
{{- include "ordinaut.mistake" (dict "key" "authentication.modes" "why" (printf "%q is no authority" .) "write" "one or several of kubernetes, oidc and tokens") -}}
{{- else if and (ne . "kubernetes") (not (or $file.existingSecret $file.existingConfigMap)) -}}
{{- include "ordinaut.mistake" (dict "key" "authentication.accessFile" "why" (printf "%s needs the access file, which says what its callers may do" .) "write" "the Secret in existingSecret, or the ConfigMap in existingConfigMap") -}}
{{- end -}}
{{- end -}}
{{- if and $file.existingSecret $file.existingConfigMap -}}
{{- include "ordinaut.mistake" (dict "key" "authentication.accessFile" "why" "there can be one file only" "write" "existingSecret or existingConfigMap, not both") -}}
{{- end -}}
{{- if has "oidc" $given.modes -}}
{{- if not (regexMatch "^https://[^?#@]+$" $given.oidc.issuer) -}}
{{- include "ordinaut.mistake" (dict "key" "authentication.oidc.issuer" "why" (printf "%q is no address whose keys can be trusted" $given.oidc.issuer) "write" "the issuer's https address, exactly as in the `iss` of its tokens") -}}
{{- end -}}
{{- if not $given.oidc.audience -}}
{{- include "ordinaut.mistake" (dict "key" "authentication.oidc.audience" "why" "without it, tokens that were made for others would do" "write" "the client id that is ours") -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "ordinaut.validate.database" -}}
{{- $database := .Values.database -}}
{{- $sources := compact (list (ternary "database.existingSecret" "" (not (empty $database.existingSecret))) (ternary "database.cnpg.enabled" "" $database.cnpg.enabled) (ternary "trial.enabled" "" .Values.trial.enabled)) -}}
{{- if not $sources -}}
{{- include "ordinaut.mistake" (dict "key" "database" "why" "there is no database" "write" "the Secret with its address in database.existingSecret, or database.cnpg.enabled=true, or, for a look, trial.enabled=true") -}}
{{- else if gt (len $sources) 1 -}}
{{- include "ordinaut.mistake" (dict "key" (join ", " $sources) "why" "there can be one database only" "write" "one of them") -}}
{{- end -}}
{{- if $database.existingSecret -}}
{{- $parts := list -}}
{{- range list "host" "username" "password" "dbname" -}}
{{- if get $database.keys . }}{{ $parts = append $parts . }}{{ end -}}
{{- end -}}
{{- if and $database.keys.uri $parts -}}
{{- include "ordinaut.mistake" (dict "key" "database.keys" "why" "the address is given twice, by uri and by its parts" "write" "uri: \"\" to use the parts, or leave the parts empty") -}}
{{- else if and (not $database.keys.uri) (lt (len $parts) 4) -}}
{{- include "ordinaut.mistake" (dict "key" "database.keys" "why" "without uri, every part is needed" "write" "the keys of host, username, password and dbname; port is 5432 without a key") -}}
{{- end -}}
{{- end -}}
{{- if and (hasPrefix "verify-" $database.tls.mode) (not (include "ordinaut.database.caSecret" .)) -}}
{{- include "ordinaut.mistake" (dict "key" "database.tls.caSecret" "why" (printf "%s needs the CA that the server is checked against" $database.tls.mode) "write" "the Secret that holds it") -}}
{{- end -}}
{{- end }}

{{- define "ordinaut.validate.redis" -}}
{{- if and .Values.trial.enabled .Values.redis.existingSecret -}}
{{- include "ordinaut.mistake" (dict "key" "redis.existingSecret" "why" "trial has a Valkey of its own" "write" "trial.enabled=false, or leave redis.existingSecret empty") -}}
{{- end -}}
{{- if and .Values.redis.tls.caSecret (not .Values.redis.existingSecret) -}}
{{- include "ordinaut.mistake" (dict "key" "redis.tls.caSecret" "why" "there is no Redis to be checked against it" "write" "the Secret with the address in redis.existingSecret, or leave this empty") -}}
{{- end -}}
{{- end }}

{{/* Where the values of a component stand, as people write it. Takes its name. */}}
{{- define "ordinaut.validate.section" -}}
{{- hasPrefix "worker-" . | ternary (printf "workerPools[%s]" (trimPrefix "worker-" .)) . -}}
{{- end }}

{{- define "ordinaut.validate.pools" -}}
{{- $names := list -}}
{{- range $pool := .Values.workerPools -}}
{{- if has $pool.name $names -}}
{{- include "ordinaut.mistake" (dict "key" (printf "workerPools[%s].name" $pool.name) "why" "two pools are called so" "write" "another name in one of them") -}}
{{- end -}}
{{- $names = append $names $pool.name -}}
{{- $name := include "ordinaut.componentName" (dict "root" $ "component" (printf "worker-%s" $pool.name)) -}}
{{- if gt (len $name) 55 -}}
{{- include "ordinaut.mistake" (dict "key" (printf "workerPools[%s].name" $pool.name) "why" (printf "%s is too long for the name of its objects" $name) "write" "a shorter name, or a shorter fullnameOverride") -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "ordinaut.validate.migrations" -}}
{{- if and (eq .Values.migrations.mode "hook") (or .Values.trial.enabled .Values.database.cnpg.enabled) -}}
{{- include "ordinaut.mistake" (dict "key" "migrations.mode" "why" "a hook runs before the database of this release exists, and would wait for it until the release fails" "write" "auto or job") -}}
{{- end -}}
{{- end }}

{{- define "ordinaut.validate.grace" -}}
{{- range $component := include "ordinaut.workers" $ | fromYamlArray -}}
{{- with get $.Values $component -}}
{{- $least := add .drainSeconds 15 -}}
{{- if lt (include "ordinaut.worker.grace" (dict "root" $ "component" $component) | int64) $least -}}
{{- include "ordinaut.mistake" (dict "key" (printf "%s.terminationGracePeriodSeconds" (include "ordinaut.validate.section" $component)) "why" (printf "%d: workers would be killed before they have given back their runs" (int64 .terminationGracePeriodSeconds)) "write" (printf "at least %d (drainSeconds + 15), or null" $least)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.api -}}
{{- $least := add .preStopSleepSeconds 15 -}}
{{- if lt (int64 .terminationGracePeriodSeconds) $least -}}
{{- include "ordinaut.mistake" (dict "key" "api.terminationGracePeriodSeconds" "why" (printf "%d: requests under way would be cut off" (int64 .terminationGracePeriodSeconds)) "write" (printf "at least %d (preStopSleepSeconds + 15)" $least)) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "ordinaut.validate.tracing" -}}
{{- with .Values.tracing -}}
{{- if and .headersSecret.name (not .headersSecret.key) -}}
{{- include "ordinaut.mistake" (dict "key" "tracing.headersSecret.key" "why" "it is not said where in the Secret the headers are" "write" "the key") -}}
{{- end -}}
{{- if and .headersSecret.name (not .otlpEndpoint) -}}
{{- include "ordinaut.mistake" (dict "key" "tracing.headersSecret" "why" "there is no endpoint to send them to" "write" "tracing.otlpEndpoint, or leave this empty") -}}
{{- end -}}
{{- end -}}
{{- end }}
