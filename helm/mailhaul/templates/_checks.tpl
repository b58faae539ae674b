{{/* What no schema can say. All contradictions at once, each with what to do. */}}
{{- define "mailhaul.check" -}}
{{- $problems := list -}}
{{- if not .Values.config.store -}}
{{- $problems = append $problems "config.store is missing: write where objects are kept, as in s3://bucket/prefix" -}}
{{- end -}}
{{- if and .Values.valkey.enabled .Values.config.ledger -}}
{{- $problems = append $problems "config.ledger and valkey.enabled contradict each other: leave config.ledger out, or set valkey.enabled to false" -}}
{{- end -}}
{{- if not (or .Values.valkey.enabled .Values.config.ledger) -}}
{{- $problems = append $problems "config.ledger is missing: write redis://host:6379/0 or secret:NAME/KEY, or set valkey.enabled to true for a trial" -}}
{{- end -}}
{{- if $problems -}}
{{- printf "\n\n- %s\n" (join "\n- " $problems) | fail -}}
{{- end -}}
{{- end -}}
