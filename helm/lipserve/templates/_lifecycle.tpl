{{/* Times of a pod's end, in seconds, as JSON: everything follows from lifecycle.longestSegmentSeconds.
       preStop         nothing is stopped yet: the pod's address leaves DNS, EndpointSlices and every balancer
       exitTimeout     what is at work may finish, and what was accepted behind it
       grace           after this the kubelet kills: both of the above, and room to end
       requestTimeout  the longest that Envoy lets a request take
     `include "lipserve.lifecycle" . | fromJson`; numbers of JSON are floats: `int` them. */}}
{{- define "lipserve.lifecycle" -}}
{{- $lifecycle := .Values.lifecycle -}}
{{- $preStop := $lifecycle.preStopSeconds | default 15 | int -}}
{{- $exit := $lifecycle.exitTimeoutSeconds | default (add (mul 2 (int $lifecycle.longestSegmentSeconds)) 10) | int -}}
{{- $grace := $lifecycle.terminationGracePeriodSeconds | default (add $preStop $exit 20) | int -}}
{{- $request := .Values.envoy.requestTimeoutSeconds | default (max 600 $exit) | int -}}
{{- dict "preStop" $preStop "exitTimeout" $exit "grace" $grace "requestTimeout" $request | toJson -}}
{{- end -}}
