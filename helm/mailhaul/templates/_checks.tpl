{{/* Seconds of a duration of the configuration: 15m, 1h30m, 900. */}}
{{- define "mailhaul.seconds" -}}
{{- $text := toString . -}}
{{- if regexMatch "^[0-9.]+s?$" $text -}}
{{- trimSuffix "s" $text | float64 | ceil | int -}}
{{- else -}}
{{- $sum := 0 -}}
{{- range $unit, $seconds := dict "d" 86400 "h" 3600 "m" 60 "s" 1 -}}
{{- $sum = add $sum (regexFind (printf "[0-9.]+%s" $unit) $text | trimSuffix $unit | default "0" | float64 | ceil | int | mul $seconds) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}
{{- end -}}

{{/* Bytes of a size (150MiB), or of a quantity of Kubernetes (4Gi). */}}
{{- define "mailhaul.bytes" -}}
{{- $text := toString . -}}
{{- $unit := regexFind "[A-Za-z]*$" $text | trimSuffix "B" -}}
{{- $factor := get (dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776) $unit | default 1 -}}
{{- mulf (regexFind "^[0-9.]+" $text | float64) (float64 $factor) | int64 -}}
{{- end -}}

{{/* Contradictions that a schema cannot express: all at once, each with a remedy. Values of secrets are never quoted. */}}
{{- define "mailhaul.check" -}}
{{- $problems := list -}}
{{- range list "Parts" "Secrets" "Grace" "Scaling" "Connections" "Room" "Console" "Jobs" -}}
{{- $problems = concat $problems (include (printf "mailhaul.check%s" .) $ | fromJsonArray) -}}
{{- end -}}
{{- if $problems -}}
{{- printf "\n\n- %s\n" (join "\n- " $problems) | fail -}}
{{- end -}}
{{- end -}}

{{- define "mailhaul.checkParts" -}}
{{- $problems := list -}}
{{- $config := .Values.config -}}
{{- if not (include "mailhaul.address" (list $config.store "url")) -}}
{{- $problems = append $problems "config.store is missing: write where objects are kept, as in s3://bucket/prefix" -}}
{{- end -}}
{{- if and .Values.valkey.enabled $config.ledger -}}
{{- $problems = append $problems "config.ledger and valkey.enabled contradict each other: leave config.ledger out, or set valkey.enabled to false" -}}
{{- end -}}
{{- if not (or .Values.valkey.enabled $config.ledger) -}}
{{- $problems = append $problems "config.ledger is missing: write redis://host:6379/0 or secret:NAME/KEY, or set valkey.enabled to true for a trial" -}}
{{- end -}}
{{- if eq (toString $config.ledger) "embedded" -}}
{{- $problems = append $problems "config.ledger is embedded, which serves one machine only: write redis://host:6379/0 or secret:NAME/KEY, or set valkey.enabled to true for a trial" -}}
{{- end -}}
{{- $advice := "Celery cannot use a Redis Cluster: set config.broker to a Redis or Valkey without cluster mode, or to amqp://host//" -}}
{{- if contains "+cluster://" (toString $config.broker) -}}
{{- $problems = append $problems (printf "config.broker is a Redis Cluster, and %s" $advice) -}}
{{- else if and (contains "+cluster://" (toString $config.ledger)) (not $config.broker) -}}
{{- $problems = append $problems (printf "config.ledger is a Redis Cluster, config.broker is missing, and %s" $advice) -}}
{{- end -}}
{{- $ids := dict -}}
{{- range $config.mailboxes -}}
{{- if hasKey $ids .id }}{{ $problems = append $problems (printf "config.mailboxes has %s twice: choose another id for one of them" .id) }}{{ end -}}
{{- $_ := set $ids .id true -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{- define "mailhaul.checkSecrets" -}}
{{- $problems := list -}}
{{- $where := "(env:[A-Za-z_][A-Za-z0-9_]*|file:.+|secret:[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[-._a-zA-Z0-9]+)" -}}
{{- $keys := "\"(password|secret|client_secret|refresh_token|service_account|access_key|secret_key|credentials|account_key|sas_token)\":\"" -}}
{{- $json := regexReplaceAll (printf "%s%s\"" $keys $where) (toJson .Values.config) "" -}}
{{- range regexFindAll $keys $json -1 | uniq -}}
{{- $problems = append $problems (printf "a %s under config is not a reference: values must not contain secrets, only references to them; write secret:NAME/KEY (a Secret in this namespace), env:NAME or file:/path" (trimSuffix ":" (replace "\"" "" .))) -}}
{{- end -}}
{{- range $mailbox := .Values.config.mailboxes -}}
{{- range $name, $value := $mailbox.client_certificate -}}
{{- if not (regexMatch (printf "^%s$" $where) (toString $value)) -}}
{{- $problems = append $problems (printf "client_certificate.%s of the mailbox %s is not a reference: write secret:NAME/KEY (a Secret in this namespace), env:NAME or file:/path" $name $mailbox.id) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with (default dict .Values.config.audit).key -}}
{{- if not (regexMatch (printf "^%s$" $where) (toString .)) -}}
{{- $problems = append $problems "config.audit.key is not a reference: write secret:NAME/KEY (a Secret in this namespace), env:NAME or file:/path" -}}
{{- end -}}
{{- end -}}
{{- range $name := list "ledger" "broker" -}}
{{- $address := get $.Values.config $name | toString -}}
{{- if regexMatch "://[^/]*:[^/@]+@" $address -}}
{{- $problems = append $problems (printf "config.%s holds a password: put the whole address into a Secret and write secret:NAME/KEY" $name) -}}
{{- else if and (hasPrefix "secret:" $address) (not (regexMatch (printf "^%s$" $where) $address)) -}}
{{- $problems = append $problems (printf "config.%s names no key of a Secret: write secret:NAME/KEY" $name) -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{/* A step of a killed pod is repeated elsewhere; letting it finish costs less. */}}
{{- define "mailhaul.checkGrace" -}}
{{- $problems := list -}}
{{- $session := dig "deadlines" "poll" "15m" (default dict .Values.config.defaults) -}}
{{- $longest := include "mailhaul.seconds" $session | int -}}
{{- range .Values.config.mailboxes -}}
{{- with dig "deadlines" "poll" nil . }}{{ $longest = max $longest (include "mailhaul.seconds" . | int) }}{{ end -}}
{{- end -}}
{{- $slowest := 10 -}}
{{- range .Values.config.sinks -}}
{{- with .timeout }}{{ $slowest = max $slowest (include "mailhaul.seconds" . | int) }}{{ end -}}
{{- end -}}
{{- $steps := dict
  "poller" (list (add $longest 30) "a mail session may take config.defaults.deadlines.poll (15m by default)")
  "processor" (list 345 "a message may take 330 seconds")
  "relay" (list (add (mul 3 $slowest) 30) "a sink may take three times its timeout")
-}}
{{- range $process, $step := $steps -}}
{{- $given := (index $.Values $process).terminationGracePeriodSeconds | int -}}
{{- if lt $given (index $step 0 | int) -}}
{{- $problems = append $problems (printf "%s.terminationGracePeriodSeconds is %d, and %s: write %d or more" $process $given (index $step 1) (index $step 0)) -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{- define "mailhaul.checkScaling" -}}
{{- $problems := list -}}
{{- range $process := list "poller" "processor" "relay" "scheduler" -}}
{{- $values := index $.Values $process -}}
{{- $least := $values.pdb.minAvailable -}}
{{- if and $values.pdb.enabled (not (kindIs "invalid" $least)) -}}
{{- $pods := include "mailhaul.fewest" $values | int -}}
{{- $least = hasSuffix "%" (toString $least) | ternary (divf (mulf (trimSuffix "%" (toString $least) | float64) (float64 $pods)) 100 | ceil) $least | int -}}
{{- if and (ge (include "mailhaul.most" $values | int) 2) (ge $least $pods) -}}
{{- $problems = append $problems (printf "%s.pdb.minAvailable would keep all of %d pods, so that their nodes cannot be drained: lower it, run more pods, or use maxUnavailable" $process $pods) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $process := list "poller" "processor" "relay" -}}
{{- $values := index $.Values $process -}}
{{- $scaling := $values.autoscaling -}}
{{- if ne $scaling.type "none" -}}
{{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) -}}
{{- $problems = append $problems (printf "%s.autoscaling.minReplicas is above maxReplicas: lower it, or raise maxReplicas" $process) -}}
{{- end -}}
{{- $target := printf "%s-%s" (include "mailhaul.fullname" $) $process -}}
{{- range $.Values.extraObjects -}}
{{- if and (kindIs "map" .) (has (get . "kind") (list "HorizontalPodAutoscaler" "ScaledObject")) (eq $target (dig "spec" "scaleTargetRef" "name" "" .)) -}}
{{- $problems = append $problems (printf "extraObjects scales %s, and so does %s.autoscaling: two autoscalers would fight; set %s.autoscaling.type to none, or leave out the object" $target $process $process) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (eq $scaling.type "hpa") (not $scaling.metrics) (has $process $.Values.verticalAutoscaling.processes) (has "cpu" $.Values.verticalAutoscaling.controlledResources) -}}
{{- $problems = append $problems (printf "%s.autoscaling and verticalAutoscaling both follow the CPU of %s: set verticalAutoscaling.controlledResources to [memory], or scale by autoscaling.metrics" $process $process) -}}
{{- end -}}
{{- if eq $scaling.type "keda" -}}
{{- if not $.Values.prometheus.address -}}
{{- $problems = append $problems (printf "%s.autoscaling.type is keda, which asks Prometheus: write prometheus.address" $process) -}}
{{- end -}}
{{- if gt (int $scaling.fallbackReplicas) (int $scaling.maxReplicas) -}}
{{- $problems = append $problems (printf "%s.autoscaling.fallbackReplicas is above maxReplicas: lower it, or raise maxReplicas" $process) -}}
{{- end -}}
{{- else if and (eq $scaling.type "hpa") (not $scaling.metrics) (not (dig "requests" "cpu" "" $values.resources)) -}}
{{- $problems = append $problems (printf "%s.autoscaling.targetCPU is a share of the CPU request: write %s.resources.requests.cpu, or autoscaling.metrics" $process $process) -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{/* Connections to Redis and to mail servers: workers that can never get one are useless. */}}
{{- define "mailhaul.checkConnections" -}}
{{- $problems := list -}}
{{- $workers := .Values.config.workers -}}
{{- $pollers := include "mailhaul.most" .Values.poller | int -}}
{{- $threads := int $workers.poll_threads -}}
{{- $allowed := .Values.valkey.enabled | ternary .Values.valkey.maxClients .Values.ledgerConnections | int -}}
{{- $wanted := mul $pollers (add $threads 10) -}}
{{- $wanted = add $wanted (mul (include "mailhaul.most" .Values.processor | int) (add (mul 4 (int $workers.processes)) 10)) -}}
{{- $wanted = add $wanted (mul (include "mailhaul.most" .Values.relay | int) (add (int $workers.relay_threads) 10)) -}}
{{- $wanted = add $wanted (mul 5 (int .Values.scheduler.replicas)) 10 (.Values.console.enabled | ternary 50 0) -}}
{{- $wanted = add $wanted (mul 10 (include "mailhaul.jobs" . | fromYaml | len)) -}}
{{- if and $allowed (gt $wanted $allowed) -}}
{{- $option := .Values.valkey.enabled | ternary "valkey.maxClients" "ledgerConnections" -}}
{{- $problems = append $problems (printf "all pods together may open %d connections to the ledger, and %s is %d: use fewer replicas or threads (config.workers), or allow more" $wanted $option $allowed) -}}
{{- end -}}
{{- /* Two pods survive the loss of a node; a third must have work. */ -}}
{{- if and (gt $pollers 2) (not .Values.mailboxConfigMaps) .Values.config.mailboxes -}}
{{- $servers := dict -}}
{{- $usual := dig "limits" "connections" nil (default dict .Values.config.defaults) -}}
{{- range .Values.config.mailboxes -}}
{{- $large := has (default "" .provider) (list "gmail" "microsoft365") -}}
{{- $most := coalesce (dig "limits" "connections" nil .) $usual ($large | ternary 100 10) | int -}}
{{- $server := coalesce .host .provider "" -}}
{{- $known := get $servers $server | default (dict "mailboxes" 0 "most" 0) -}}
{{- $_ := set $servers $server (dict "mailboxes" (add1 $known.mailboxes) "most" (max $known.most $most)) -}}
{{- end -}}
{{- $slots := 0 -}}
{{- range $servers }}{{ $slots = add $slots (min .mailboxes .most) }}{{ end -}}
{{- if ge (mul (sub $pollers 1) $threads) $slots -}}
{{- $problems = append $problems (printf "%d pollers with %d threads each, but limits.connections allows %d polls at a time: use fewer replicas or poll_threads, or raise limits.connections where the servers allow it" $pollers $threads $slots) -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{- define "mailhaul.checkRoom" -}}
{{- $problems := list -}}
{{- $console := .Values.console.enabled | ternary (list "console") list -}}
{{- $store := include "mailhaul.address" (list .Values.config.store "url") -}}
{{- if hasPrefix "file://" $store -}}
{{- $folder := trimPrefix "file://" $store -}}
{{- range $process := concat (list "poller" "processor" "relay") $console (include "mailhaul.jobs" . | fromYaml | keys | sortAlpha) -}}
{{- if not (include "mailhaul.mounted" (list $ $process $folder)) -}}
{{- $problems = append $problems (printf "config.store is a folder that no volume of %s contains: add one that all pods can write to at once (ReadWriteMany) to pods.volumes and pods.volumeMounts, or use s3://bucket/prefix" $process) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range .Values.config.sinks -}}
{{- if and (eq .type "jsonl") (not (include "mailhaul.mounted" (list $ "relay" .path))) -}}
{{- $problems = append $problems "a sink of type jsonl writes to a file that no volume of relay contains: add one to relay.pod.volumes and relay.pod.volumeMounts" -}}
{{- end -}}
{{- end -}}
{{- $needed := mul (int .Values.config.workers.processes) 512 1048576 -}}
{{- $limit := dig "limits" "memory" "" .Values.processor.resources | toString -}}
{{- if and $limit (lt (include "mailhaul.bytes" $limit | int64) (int64 $needed)) -}}
{{- $problems = append $problems (printf "processor.resources.limits.memory is %s, and each of the %d processes (config.workers.processes) may use 512Mi: raise it, or use fewer processes" $limit (int .Values.config.workers.processes)) -}}
{{- end -}}
{{- $largest := dig "limits" "message_bytes" "150MiB" (default dict .Values.config.defaults) -}}
{{- $bytes := include "mailhaul.bytes" $largest | int64 -}}
{{- range .Values.config.mailboxes -}}
{{- with dig "limits" "message_bytes" nil . }}{{ $bytes = max $bytes (include "mailhaul.bytes" . | int64) }}{{ end -}}
{{- end -}}
{{- range $process := concat (list "poller" "processor") $console -}}
{{- if lt (include "mailhaul.bytes" (index $.Values $process).scratchSize | int64) (int64 $bytes) -}}
{{- $problems = append $problems (printf "%s.scratchSize is smaller than the largest message (limits.message_bytes): raise it, or lower the limit" $process) -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{/* Non-empty if a volume of the user contains this path. Takes a list: the root, the process, the path. */}}
{{- define "mailhaul.mounted" -}}
{{- $root := index . 0 -}}
{{- $path := index . 2 -}}
{{- $pod := include "mailhaul.podValues" (list $root (index $root.Values (index . 1))) | fromJson -}}
{{- range $pod.volumeMounts -}}
{{- if or (eq $path .mountPath) (hasPrefix (printf "%s/" (trimSuffix "/" .mountPath)) $path) }}yes{{ end -}}
{{- end -}}
{{- end -}}
