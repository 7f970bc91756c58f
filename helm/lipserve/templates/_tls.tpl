{{/* What TLS adds to the server's pod: items of lists, or nothing. (front) */}}
{{- define "lipserve.tls.podArguments" -}}{{- end -}}
{{- define "lipserve.tls.volumes" -}}{{- end -}}
{{- define "lipserve.tls.volumeMounts" -}}{{- end -}}
