// Writes of-kubernetes-1.36.jsonl: objects as Kubernetes itself encodes them, in protobuf and in JSON, one a line.
// Run it in a module that requires k8s.io/api and k8s.io/apimachinery: go run capture.go > of-kubernetes-1.36.jsonl
package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
)

func ptr[T any](v T) *T { return &v }

func main() {
	scheme := runtime.NewScheme()
	utilruntime.Must(corev1.AddToScheme(scheme))
	utilruntime.Must(discoveryv1.AddToScheme(scheme))
	metav1.AddToGroupVersion(scheme, corev1.SchemeGroupVersion)
	s := protobuf.NewSerializer(scheme, scheme)
	raw := protobuf.NewRawSerializer(scheme, scheme)
	now := metav1.NewTime(time.Unix(1767323045, 0).UTC())
	meta := metav1.ObjectMeta{Name: "web-x7k2p", GenerateName: "web-", Namespace: "shop", UID: "7c3f0a4e-52bb-4d0e-9f0a-0123456789ab",
		ResourceVersion: "77", Generation: 3, CreationTimestamp: now, DeletionTimestamp: &now, DeletionGracePeriodSeconds: ptr(int64(30)),
		Labels: map[string]string{"a": "1", "kubernetes.io/service-name": "web", "empty": ""}, Annotations: map[string]string{"quote\"back\\slash": "line\nbreak\u0001 ü"},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Service", Name: "web", UID: "s1", Controller: ptr(true), BlockOwnerDeletion: ptr(false)}, {APIVersion: "apps/v1", Kind: "X", Name: "y", UID: "z"}},
		Finalizers:      []string{"example.com/a", "example.com/b"},
		ManagedFields:   []metav1.ManagedFieldsEntry{{Manager: "kcm", Operation: "Update", APIVersion: "v1", Time: &now, FieldsType: "FieldsV1", FieldsV1: &metav1.FieldsV1{Raw: []byte(`{"f:a":{}}`)}}}}
	ref := &corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: "web-0", UID: "p0"}
	full := &corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: "web-0", UID: "p0", APIVersion: "v1", ResourceVersion: "5", FieldPath: "spec.x"}
	slice := &discoveryv1.EndpointSlice{TypeMeta: metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"}, ObjectMeta: meta, AddressType: "IPv4",
		Endpoints: []discoveryv1.Endpoint{
			{Addresses: []string{"10.0.0.1", "10.0.0.2"}, Conditions: discoveryv1.EndpointConditions{Ready: ptr(true), Serving: ptr(true), Terminating: ptr(false)}, Hostname: ptr("h"), TargetRef: ref, NodeName: ptr("n1"), Zone: ptr(""), Hints: &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: "a"}, {Name: "b"}}, ForNodes: []discoveryv1.ForNode{{Name: "n1"}}}, DeprecatedTopology: map[string]string{"x": "y"}},
			{Addresses: []string{"10.0.0.3"}, TargetRef: full},
			{Addresses: []string{}, Hints: &discoveryv1.EndpointHints{}},
		},
		Ports: []discoveryv1.EndpointPort{{Name: ptr("http"), Protocol: ptr(corev1.ProtocolTCP), Port: ptr(int32(8080)), AppProtocol: ptr("h2c")}, {Name: ptr("")}, {}}}
	eps := &corev1.Endpoints{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Endpoints"}, ObjectMeta: meta, Subsets: []corev1.EndpointSubset{
		{Addresses: []corev1.EndpointAddress{{IP: "10.0.0.1", Hostname: "h", NodeName: ptr("n1"), TargetRef: ref}, {IP: "fd00::1"}}, NotReadyAddresses: []corev1.EndpointAddress{{IP: "10.0.0.9", NodeName: ptr("")}}, Ports: []corev1.EndpointPort{{Name: "http", Port: 8080, Protocol: "TCP", AppProtocol: ptr("x")}, {Port: 65535, Protocol: "UDP"}}},
		{NotReadyAddresses: []corev1.EndpointAddress{{IP: "10.0.0.8"}}, Ports: []corev1.EndpointPort{{Port: 1, Protocol: "SCTP"}}},
	}}
	pod := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: meta, Spec: corev1.PodSpec{NodeName: "n1", Hostname: "h", Subdomain: "s", HostNetwork: true,
		Containers:     []corev1.Container{{Name: "a", Image: "x", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: "TCP"}, {ContainerPort: 9, HostPort: 3}}, Env: []corev1.EnvVar{{Name: "A", Value: "b"}}}, {Name: "b"}},
		InitContainers: []corev1.Container{{Name: "side", RestartPolicy: ptr(corev1.ContainerRestartPolicyAlways), Ports: []corev1.ContainerPort{{Name: "admin", ContainerPort: 1, Protocol: "UDP"}}}}},
		Status: corev1.PodStatus{Phase: "Running", HostIP: "1.2.3.4", PodIP: "10.0.0.1", PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}, {IP: "fd00::1"}}, StartTime: &now,
			Conditions:        []corev1.PodCondition{{Type: "Initialized", Status: "True"}, {Type: "Ready", Status: "True", LastTransitionTime: now, LastProbeTime: now, Reason: "r"}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "a", Ready: true}}}}
	bare := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Name: "p"}}
	mark := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{ResourceVersion: "99", Annotations: map[string]string{"k8s.io/initial-events-end": "true"}}}
	list := &corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}, ListMeta: metav1.ListMeta{ResourceVersion: "100", Continue: "abc", RemainingItemCount: ptr(int64(7))}, Items: []corev1.Pod{*bare, *bare}}
	elist := &corev1.EndpointsList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "EndpointsList"}, ListMeta: metav1.ListMeta{ResourceVersion: "100"}, Items: []corev1.Endpoints{*eps}}
	slist := &discoveryv1.EndpointSliceList{TypeMeta: metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSliceList"}, Items: []discoveryv1.EndpointSlice{*slice}}
	status := &metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: "Failure", Message: "too busy", Reason: "TooManyRequests", Code: 429,
		Details: &metav1.StatusDetails{Name: "web", Group: "g", Kind: "k", UID: "u", RetryAfterSeconds: 3, Causes: []metav1.StatusCause{{Type: "NamespaceTerminating", Message: "m", Field: "f"}}}}
	out := []map[string]any{}
	add := func(name string, o runtime.Object) {
		var b bytes.Buffer
		utilruntime.Must(s.Encode(o, &b))
		out = append(out, map[string]any{"name": name, "json": o, "protobuf": hex.EncodeToString(b.Bytes())})
	}
	add("EndpointSlice", slice)
	add("Endpoints", eps)
	add("Pod", pod)
	add("a Pod with nothing but a name", bare)
	add("PodList", list)
	add("EndpointsList", elist)
	add("EndpointSliceList", slist)
	add("Status", status)
	event := func(kind string, o runtime.Object) {
		var b, e bytes.Buffer
		utilruntime.Must(s.Encode(o, &b))
		w := &metav1.WatchEvent{Type: kind, Object: runtime.RawExtension{Raw: b.Bytes()}}
		utilruntime.Must(raw.Encode(w, &e))
		out = append(out, map[string]any{"name": kind, "json": map[string]any{"type": kind, "object": o}, "protobuf": hex.EncodeToString(e.Bytes())})
	}
	event("MODIFIED", pod)
	event("BOOKMARK", mark)
	event("ERROR", status)
	for _, line := range out {
		j, err := json.Marshal(line)
		utilruntime.Must(err)
		fmt.Println(string(j))
	}
}
