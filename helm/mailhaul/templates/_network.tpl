{{/* Ports of an address, as a JSON list; several hosts for Sentinels and clusters. Takes a list: the address, the default ports. */}}
{{- define "mailhaul.ports" -}}
{{- $address := index . 0 | toString -}}
{{- $usual := dict "http" 80 "https" 443 "amqp" 5672 "amqps" 5671 "redis" 6379 "rediss" 6379 "valkey" 6379 "valkeys" 6379 "redis+sentinel" 26379 "rediss+sentinel" 26379 "valkey+sentinel" 26379 "valkeys+sentinel" 26379 "redis+cluster" 6379 "rediss+cluster" 6379 "valkey+cluster" 6379 "valkeys+cluster" 6379 -}}
{{- $scheme := regexFind "^[a-z0-9+]+://" $address | trimSuffix "://" -}}
{{- $ports := list -}}
{{- if or (not $scheme) (eq $scheme "unix") -}}
{{- if ne $scheme "unix" }}{{ $ports = index . 1 }}{{ end -}}
{{- else -}}
{{- $hosts := regexReplaceAll "^[a-z0-9+]+://([^/]*@)?" $address "" | splitList "/" | first -}}
{{- range splitList "," $hosts -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" . | trimPrefix ":" | default (get $usual $scheme) | int) -}}
{{- end -}}
{{- /* Sentinels report where the servers are, and nodes of a cluster where the others are. */ -}}
{{- if regexMatch "[+](sentinel|cluster)$" $scheme }}{{ $ports = concat $ports (index . 1) }}{{ end -}}
{{- end -}}
{{- $ports | uniq | toJson -}}
{{- end -}}

{{/* A store, scanner or the like may be an address or a mapping with one. Takes a list: the value, the option. */}}
{{- define "mailhaul.address" -}}
{{- $value := index . 0 -}}
{{- if kindIs "map" $value }}{{ get $value (index . 1) }}{{ else }}{{ $value }}{{ end -}}
{{- end -}}

{{- define "mailhaul.ledgerPorts" -}}
{{- $fixed := include "mailhaul.fixed" . | fromJson -}}
{{- $ports := include "mailhaul.ports" (list $fixed.ledger .Values.networkPolicy.ledgerPorts) | fromJsonArray -}}
{{- if $fixed.broker -}}
{{- $ports = concat $ports (include "mailhaul.ports" (list $fixed.broker .Values.networkPolicy.ledgerPorts) | fromJsonArray) -}}
{{- end -}}
{{- $ports | uniq | toJson -}}
{{- end -}}

{{/* Of the object store. */}}
{{- define "mailhaul.storePorts" -}}
{{- $ports := list -}}
{{- if not (hasPrefix "file://" (include "mailhaul.address" (list .Values.config.store "url"))) -}}
{{- $ports = list 443 -}}
{{- if kindIs "map" .Values.config.store -}}
{{- $ports = include "mailhaul.ports" (list (default "" .Values.config.store.endpoint) $ports) | fromJsonArray -}}
{{- end -}}
{{- end -}}
{{- toJson $ports -}}
{{- end -}}

{{/* Of mail servers, their proxies, and token servers. */}}
{{- define "mailhaul.mailPorts" -}}
{{- $defaults := default dict .Values.config.defaults -}}
{{- /* A set: there may be thousands of mailboxes. */ -}}
{{- $ports := dict -}}
{{- range .Values.config.mailboxes -}}
{{- $tls := coalesce .tls $defaults.tls "implicit" -}}
{{- $shared := "" -}}
{{- if not .tls }}{{ $shared = default "" $defaults.port }}{{ end -}}
{{- $proxy := coalesce .proxy $defaults.proxy -}}
{{- if $proxy -}}
{{- range include "mailhaul.ports" (list $proxy.url list) | fromJsonArray }}{{ $_ := set $ports (toString .) true }}{{ end -}}
{{- else -}}
{{- $_ := set $ports (coalesce .port $shared (eq $tls "implicit" | ternary 995 110) | int | toString) true -}}
{{- end -}}
{{- if eq .auth.type "oauth2" -}}
{{- range include "mailhaul.ports" (list (default "https://provider" .auth.token_url) list) | fromJsonArray }}{{ $_ := set $ports (toString .) true }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if .Values.mailboxConfigMaps }}{{ range .Values.networkPolicy.mailPorts }}{{ $_ := set $ports (toString .) true }}{{ end }}{{ end -}}
{{- $numbers := list -}}
{{- range keys $ports | sortAlpha }}{{ $numbers = append $numbers (int .) }}{{ end -}}
{{- toJson $numbers -}}
{{- end -}}

{{- define "mailhaul.sinkPorts" -}}
{{- $ports := list -}}
{{- range .Values.config.sinks -}}
{{- if has .type (list "sns" "eventbridge") -}}
{{- $ports = concat $ports (include "mailhaul.ports" (list (default "https://amazon" .endpoint) list) | fromJsonArray) -}}
{{- else if eq .type "kafka" -}}
{{- $ports = concat $ports (include "mailhaul.ports" (list (printf "kafka://%s" .brokers) list) | fromJsonArray) -}}
{{- else if ne .type "jsonl" -}}
{{- $ports = concat $ports (include "mailhaul.ports" (list .url list) | fromJsonArray) -}}
{{- end -}}
{{- end -}}
{{- $ports | uniq | toJson -}}
{{- end -}}

{{- define "mailhaul.scanPorts" -}}
{{- $url := include "mailhaul.address" (list (default "unix://" .Values.config.scan) "url") -}}
{{- include "mailhaul.ports" (list $url list) -}}
{{- end -}}

{{/* Of the identity provider that logs people in to the console. */}}
{{- define "mailhaul.identityProviderPorts" -}}
{{- $oidc := default dict (default dict .Values.config.console).oidc -}}
{{- include "mailhaul.ports" (list (default "" $oidc.issuer) list) -}}
{{- end -}}

{{/* Of the collector of traces; by default that of OTLP/HTTP. */}}
{{- define "mailhaul.tracingPorts" -}}
{{- $tracing := .Values.config.tracing -}}
{{- $ports := list -}}
{{- if kindIs "map" $tracing }}{{ $ports = include "mailhaul.ports" (list (default "" $tracing.endpoint) (list 4318)) | fromJsonArray }}{{ end -}}
{{- toJson $ports -}}
{{- end -}}

{{/* One egress rule, if there is any such connection. Takes a list: peers, ports of addresses, ports of pods. */}}
{{- define "mailhaul.egress" -}}
{{- $ports := index . 1 -}}
{{- if $ports }}
- ports:
    {{- range concat $ports (index . 2) | uniq }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
  {{- with index . 0 }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "mailhaul.egressDns" -}}
- ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
  {{- with .Values.networkPolicy.dns }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
