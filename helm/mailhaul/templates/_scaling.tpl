{{/* Up at once, down one pod at a time after a quiet period: each removed pod finishes its current step. */}}
{{- define "mailhaul.scaleBehavior" -}}
scaleUp:
  stabilizationWindowSeconds: 0
  policies: [{type: Percent, value: 100, periodSeconds: 60}]
scaleDown:
  stabilizationWindowSeconds: {{ .calmDown }}
  policies: [{type: Pods, value: 1, periodSeconds: 60}]
{{- end -}}

{{/* Queries, and the target of each per pod. Takes a list: the root, the process, its autoscaling. */}}
{{- define "mailhaul.scaleMetrics" -}}
{{- $root := index . 0 -}}
{{- $process := index . 1 -}}
{{- $scaling := index . 2 -}}
{{- $from := printf "namespace=%q" (include "mailhaul.namespace" $root) -}}
{{- if eq $process "poller" }}
{{ printf "max(mailhaul_due_mailboxes{%s})" $from | squote }}: {{ $scaling.perReplica }}
{{ printf "max(mailhaul_schedule_lag_seconds{%s})" $from | squote }}: {{ $scaling.age }}
{{- else }}
{{- $stage := printf "{%s,stage=%q}" $from (eq $process "processor" | ternary "process" "publish") }}
{{ printf "max(mailhaul_pending_messages%s)" $stage | squote }}: {{ $scaling.perReplica }}
{{ printf "max(mailhaul_pending_oldest_age_seconds%s)" $stage | squote }}: {{ $scaling.age }}
{{- end }}
{{- end -}}
