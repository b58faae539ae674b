{{/* What runs on a schedule: its name in values, and its command. */}}
{{- define "mailhaul.jobs" -}}
{{- if .Values.retention.schedule }}
retention: [purge, retention, --yes]
{{- end }}
{{- if .Values.audit.schedule }}
audit: [audit, write]
{{- end }}
{{- end -}}

{{/* The process that writes statements, which is the one that needs their key. */}}
{{- define "mailhaul.statements" -}}
{{- .Values.audit.schedule | empty | ternary "scheduler" "audit" -}}
{{- end -}}

{{- define "mailhaul.checkJobs" -}}
{{- $problems := list -}}
{{- if and .Values.retention.schedule (not .Values.config.retention) -}}
{{- $problems = append $problems "retention.schedule has nothing to do: write rules in config.retention, or leave it empty" -}}
{{- end -}}
{{- if and .Values.audit.schedule (not (default dict .Values.config.audit).enabled) -}}
{{- $problems = append $problems "audit.schedule says when statements are written: set config.audit.enabled to true, or leave it empty" -}}
{{- end -}}
{{- range $job := list "retention" "audit" -}}
{{- if (index $.Values $job).pod.sidecars -}}
{{- $problems = append $problems (printf "%s.pod.sidecars would keep its jobs from ending: write initContainers with restartPolicy: Always" $job) -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}
