// The custom resource definitions of others that the chart's objects are checked against (tests/cluster/foreigncrds.py).
// Only files are taken from these modules; nothing of them is built, so their own requirements are left out of go.sum.
module ordinaut.io/tests/cluster/tools/crds

go 1.26.0

require (
	github.com/cilium/cilium v1.20.2
	github.com/cloudnative-pg/cloudnative-pg v1.27.0
	github.com/grafana/grafana-operator/v5 v5.18.0
	github.com/kedacore/keda/v2 v2.21.0
	github.com/prometheus-operator/prometheus-operator v0.85.0
	sigs.k8s.io/gateway-api v1.4.0
)
