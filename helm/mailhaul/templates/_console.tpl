{{/* The folder of the console's catalog. */}}
{{- define "mailhaul.catalogFolder" -}}/var/lib/mailhaul{{- end -}}

{{- define "mailhaul.consolePort" -}}
{{- dig "port" 8480 (default dict .Values.config.console) -}}
{{- end -}}

{{/* The console must know who may come in, and under which names browsers reach it. */}}
{{- define "mailhaul.checkConsole" -}}
{{- $problems := list -}}
{{- $config := default dict .Values.config.console -}}
{{- if .Values.console.enabled -}}
{{- if not (or $config.tokens $config.proxy $config.oidc) -}}
{{- $problems = append $problems "console.enabled needs to know who may come in: write config.console.tokens (`mailhaul token NAME` makes one), config.console.oidc or config.console.proxy" -}}
{{- end -}}
{{- range $kind := list "ingress" "httpRoute" -}}
{{- if and (index $.Values.console $kind).enabled (not $config.hosts) -}}
{{- $problems = append $problems (printf "console.%s.enabled needs names to serve: write them in config.console.hosts" $kind) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.console.httpRoute.enabled (not .Values.console.httpRoute.parentRefs) -}}
{{- $problems = append $problems "console.httpRoute.enabled needs a Gateway: write console.httpRoute.parentRefs, as in [{name: public, sectionName: https}]" -}}
{{- end -}}
{{- $catalog := default "" $config.catalog -}}
{{- if and $catalog (not (hasPrefix (printf "%s/" (include "mailhaul.catalogFolder" .)) $catalog)) (not (include "mailhaul.mounted" (list . "console" $catalog))) -}}
{{- $problems = append $problems (printf "config.console.catalog is a file that no volume of console contains: leave it out, which is a file in %s, or add a volume to console.pod.volumes and console.pod.volumeMounts" (include "mailhaul.catalogFolder" .)) -}}
{{- end -}}
{{- end -}}
{{- if and (has "console" .Values.verticalAutoscaling.processes) (not .Values.console.enabled) -}}
{{- $problems = append $problems "verticalAutoscaling.processes names console, which does not run: set console.enabled, or leave it out" -}}
{{- end -}}
{{- with $config.database -}}
{{- if not (regexMatch "^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+|secret:[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[-._a-zA-Z0-9]+)$" (toString .)) -}}
{{- $problems = append $problems "config.console.database is not a reference: put the whole address into a Secret and write secret:NAME/KEY" -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}
