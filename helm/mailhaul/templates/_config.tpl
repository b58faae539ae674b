{{/*
Where the file of `secret:NAME/KEY` is mounted. `ca` takes a plain path, everything else a reference.
*/}}
{{- define "mailhaul.secretsFolder" -}}/run/secrets/mailhaul{{- end -}}

{{/* A part of the configuration, as JSON, with `secret:NAME/KEY` replaced by the mounted file. */}}
{{- define "mailhaul.resolved" -}}
{{- $reference := "secret:([a-z0-9]([-a-z0-9.]*[a-z0-9])?)/([-._a-zA-Z0-9]+)\"" -}}
{{- $folder := include "mailhaul.secretsFolder" . -}}
{{- $json := toJson . -}}
{{- $json = regexReplaceAll (printf "\"ca\":\"%s" $reference) $json (printf "\"ca\":\"%s/${1}/${3}\"" $folder) -}}
{{- regexReplaceAll (printf ":\"%s" $reference) $json (printf ":\"file:%s/${1}/${3}\"" $folder) -}}
{{- end -}}

{{/* Names of the Secrets that a part of the configuration refers to, as a JSON list. */}}
{{- define "mailhaul.secretNames" -}}
{{- $names := dict -}}
{{- range regexFindAll ":\"secret:[a-z0-9.-]+/" (toJson .) -1 -}}
{{- $_ := set $names (. | trimPrefix ":\"secret:" | trimSuffix "/") true -}}
{{- end -}}
{{- keys $names | sortAlpha | toJson -}}
{{- end -}}

{{/* What a process reads at its start: everything but mailboxes and their defaults. */}}
{{- define "mailhaul.fixed" -}}
{{- $config := omit (deepCopy .Values.config) "defaults" "mailboxes" -}}
{{- if .Values.valkey.enabled -}}
{{- $_ := set $config "ledger" (printf "redis://%s-valkey:6379/0" (include "mailhaul.fullname" .)) -}}
{{- end -}}
{{- $metrics := dict "address" .Values.metrics.address "port" (int .Values.metrics.port) -}}
{{- $_ := set $config "metrics" (mergeOverwrite (default dict $config.metrics) $metrics) -}}
{{- if .Values.console.enabled -}}
{{- $console := dict "catalog" (printf "%s/catalog.sqlite" (include "mailhaul.catalogFolder" .)) -}}
{{- $console = mergeOverwrite $console (default dict $config.console) (dict "address" .Values.metrics.address) -}}
{{- $_ := set $config "console" $console -}}
{{- else -}}
{{- /* With it, the exporter would expect a console to run. */ -}}
{{- $_ := unset $config "console" -}}
{{- end -}}
{{- range $name, $value := $config -}}
{{- /* An empty mapping enables tracing. */ -}}
{{- if and (not $value) (or (ne $name "tracing") (kindIs "invalid" $value)) }}{{ $_ := unset $config $name }}{{ end -}}
{{- end -}}
{{- toJson $config -}}
{{- end -}}

{{/* What processes read while they run. */}}
{{- define "mailhaul.live" -}}
{{- pick .Values.config "defaults" "mailboxes" | toJson -}}
{{- end -}}

{{/* Mailboxes in one ConfigMap, which holds 1 MiB; below 256 KiB it can be applied from the client, too. */}}
{{- define "mailhaul.mailboxesPerMap" -}}500{{- end -}}

{{/*
How many ConfigMaps of mailboxes pods look for: a power of two, so that one more seldom changes the pods. Those that
are not there yet are optional.
*/}}
{{- define "mailhaul.mailboxMaps" -}}
{{- $wanted := div (add (len .Values.config.mailboxes) (include "mailhaul.mailboxesPerMap" . | int) -1) (include "mailhaul.mailboxesPerMap" . | int) | int -}}
{{- $maps := 1 -}}
{{- range until 16 }}{{ if lt $maps $wanted }}{{ $maps = mul $maps 2 | int }}{{ end }}{{ end -}}
{{- $maps -}}
{{- end -}}

{{/* Secrets that one process needs, as a JSON list of {name, optional}. Takes a list: the root, the process. */}}
{{- define "mailhaul.secretsOf" -}}
{{- $root := index . 0 -}}
{{- $process := index . 1 -}}
{{- $fixed := include "mailhaul.fixed" $root | fromJson -}}
{{- $needed := include "mailhaul.secretNames" (omit $fixed "audit" "sinks" "console") | fromJsonArray -}}
{{- range $part, $reader := dict "audit" (include "mailhaul.statements" $root) "sinks" "relay" "console" "console" -}}
{{- if eq $process $reader -}}
{{- $needed = concat $needed (include "mailhaul.secretNames" (pick $fixed $part) | fromJsonArray) | uniq -}}
{{- end -}}
{{- end -}}
{{- $mail := list -}}
{{- if eq $process "poller" -}}
{{- $live := include "mailhaul.live" $root | fromJson -}}
{{- $mail = concat (include "mailhaul.secretNames" $live | fromJsonArray) $root.Values.mailboxSecrets | uniq -}}
{{- end -}}
{{- $result := list -}}
{{- range $needed }}{{ $result = append $result (dict "name" . "optional" false) }}{{ end -}}
{{- range $mail -}}
{{- /* A missing Secret of one mailbox must not affect the others. */ -}}
{{- if not (has . $needed) }}{{ $result = append $result (dict "name" . "optional" true) }}{{ end -}}
{{- end -}}
{{- toJson $result -}}
{{- end -}}

{{- define "mailhaul.secretVolume" -}}
secret-{{ sha256sum . | trunc 12 }}
{{- end -}}
