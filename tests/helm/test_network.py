"""Who may reach whom: selectors select what they mean to, and nothing is open by omission."""

import pytest

from chart import matches, of_kind, one, pods, render

PORTS = {"keyvault": {"grpc": 50051, "health": 50061, "metrics": 9464},
         "routing": {"grpc": 50052, "health": 50062, "metrics": 9465}}
DNS = {(53, "UDP"), (53, "TCP")}


def component(labels):
    return labels["app.kubernetes.io/component"]


def labels_by_component(objects):
    return {component(metadata["labels"]): metadata["labels"] for _, metadata, _ in pods(objects)}


def selected(objects, selector):
    """The components whose pods a selector takes."""
    return {name for name, labels in labels_by_component(objects).items() if matches(selector, labels)}


def policies(objects):
    """The policies by the component that they are about; the one about all of them under None."""
    out = {}
    for policy in of_kind(objects, "NetworkPolicy"):
        about = selected(objects, policy["spec"]["podSelector"])
        out[next(iter(about)) if len(about) == 1 else None] = policy["spec"]
    return out


def ports(rule):
    return {(port["port"], port["protocol"]) for port in rule["ports"]}


def rules(policy, direction, port):
    return [rule for rule in policy.get(direction) or [] if (port, "TCP") in ports(rule)]


def peers(objects, rule, side):
    """The components among a rule's peers; a peer outside of the release counts as itself."""
    out = []
    for peer in rule.get(side) or []:
        if set(peer) == {"podSelector"}:
            out.extend(sorted(selected(objects, peer["podSelector"])) or [f"nobody: {peer}"])
        else:
            out.append(str(peer))
    return out


def test_workload_selectors_match_their_pods(objects):
    for obj in of_kind(objects, "StatefulSet", "Deployment"):
        labels = obj["spec"]["template"]["metadata"]["labels"]
        assert matches(obj["spec"]["selector"], labels), obj["metadata"]["name"]
        assert len(selected(objects, obj["spec"]["selector"])) == 1


def test_services_lead_to_ports_of_their_pods(objects):
    services = of_kind(objects, "Service")
    assert len(services) == 4
    for service in services:
        spec, name = service["spec"], service["metadata"]["name"]
        about = selected(objects, {"matchLabels": spec["selector"]})
        assert len(about) == 1 and next(iter(about)) in name, name
        found = [pod for _, metadata, pod in pods(objects)
                 if matches({"matchLabels": spec["selector"]}, metadata["labels"])]
        open_ports = {port["name"]: port["containerPort"] for port in found[0]["containers"][0]["ports"]}
        for port in spec["ports"]:
            assert open_ports[port["targetPort"]] == port["port"], name
        assert (spec.get("clusterIP") == "None") == name.endswith("-headless")
        assert "health" not in [port["targetPort"] for port in spec["ports"]], "health is for the kubelet"


def test_statefulset_names_a_headless_service(objects):
    for obj in of_kind(objects, "StatefulSet"):
        assert one(objects, "Service", obj["spec"]["serviceName"])["spec"]["clusterIP"] == "None"


def test_disruption_budgets_are_about_what_has_several_pods(objects, values):
    """Routing's, and keyvault's where it has several: a budget of the one pod of a file would only hold up its node's drain."""
    about = {next(iter(selected(objects, budget["spec"]["selector"]))): budget["spec"]
             for budget in of_kind(objects, "PodDisruptionBudget")}
    assert all(len(selected(objects, spec["selector"])) == 1 for spec in about.values())
    assert set(about) == {"bare": set(), "postgres": {"keyvault", "routing"}}.get(values, {"routing"})
    for component, spec in about.items():
        assert spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
        assert spec["maxUnavailable"] == {"closed": "25%", "full": 2}.get(values, 1), component


@pytest.mark.parametrize(("setting", "expected"), [
    ("keyvault.podDisruptionBudget.maxUnavailable=2", 2),
    ("keyvault.podDisruptionBudget.enabled=false", None),
    ("keyvault.replicas=1", None),
])
def test_keyvault_s_disruption_budget_comes_from_the_values(setting, expected):
    budgets = [budget["spec"]["maxUnavailable"] for budget in of_kind(render("postgres", "--set", setting), "PodDisruptionBudget")
               if budget["metadata"]["name"] == "claviger-keyvault"]
    assert budgets == ([] if expected is None else [expected])


def test_monitors_find_one_metrics_port(objects, values):
    monitors = of_kind(objects, "ServiceMonitor", "PodMonitor")
    assert len(monitors) == (2 if values in {"full", "closed"} else 0)
    for monitor in monitors:
        selector = monitor["spec"]["selector"]
        if monitor["kind"] == "PodMonitor":
            assert len(selected(objects, selector)) == 1
            continue
        found = [service for service in of_kind(objects, "Service") if matches(selector, service["metadata"]["labels"])]
        with_metrics = [s for s in found if "metrics" in [port["name"] for port in s["spec"]["ports"]]]
        assert len(with_metrics) == 1, "each pod is scraped once"


def test_default_deny_covers_every_pod(objects, values):
    found = policies(objects)
    if values == "bare":
        assert not found
        return
    deny = found[None]
    assert selected(objects, deny["podSelector"]) == set(labels_by_component(objects))
    assert sorted(deny["policyTypes"]) == ["Egress", "Ingress"]
    assert not deny.get("ingress") and not deny.get("egress")
    assert set(found) - {None} == set(labels_by_component(objects)), "a policy for each component"
    for policy in found.values():
        assert sorted(policy["policyTypes"]) == ["Egress", "Ingress"]


def test_no_ingress_rule_is_open(objects):
    """A rule without peers, or with an empty one, admits everyone."""
    for policy in policies(objects).values():
        for rule in policy.get("ingress") or []:
            assert rule.get("from") and all(rule["from"]), rule
            assert rule.get("ports"), rule


@pytest.mark.parametrize("values", ["minimal", "closed", "full"])
def test_who_may_call(values):
    objects = render(values)
    found = policies(objects)
    outside = {"full": lambda team: [str({"namespaceSelector": {"matchLabels": {"team": team}}})]}
    extra = outside.get(values, lambda _: [])
    calls = {name: rules(found[name], "ingress", PORTS[name]["grpc"]) for name in PORTS}
    assert [peers(objects, rule, "from") for rule in calls["keyvault"]] == [["routing", *extra("console")]]
    assert [peers(objects, rule, "from") for rule in calls["routing"]] == ([extra("agents")] if values == "full" else [])
    for name, own in PORTS.items():
        metrics = rules(found[name], "ingress", own["metrics"])
        assert [peers(objects, rule, "from") for rule in metrics] == ([extra("observability")] if values == "full" else [])
        known = {(own["grpc"], "TCP"), (own["metrics"], "TCP")}
        assert all(ports(rule) <= known for rule in found[name].get("ingress") or [])


@pytest.mark.parametrize("values", ["minimal", "closed", "full"])
def test_who_may_be_called(values):
    objects = render(values)
    found = policies(objects)
    otlp = {"minimal": set(), "closed": {(80, "TCP")}, "full": {(4317, "TCP")}}[values]
    extra = {"keyvault": {(11434, "TCP")}, "routing": {(9, "TCP")}} if values == "full" else {"keyvault": set(), "routing": set()}
    allowed = {name: set().union(*(ports(rule) for rule in found[name]["egress"])) for name in PORTS}
    assert allowed["keyvault"] == DNS | {(443, "TCP")} | otlp | extra["keyvault"]
    assert allowed["routing"] == DNS | {(50051, "TCP")} | otlp | extra["routing"]
    assert all((5432, "TCP") not in allowed[name] for name in PORTS), "there is no server"
    to_vault = rules(found["routing"], "egress", 50051)
    assert [peers(objects, rule, "to") for rule in to_vault] == [["keyvault"]]


def test_egress_peers_come_from_the_values():
    found = policies(render("full"))
    for name in PORTS:
        dns = [rule for rule in found[name]["egress"] if ports(rule) == DNS]
        assert [rule["to"] for rule in dns] == [[{"ipBlock": {"cidr": "169.254.20.10/32"}}]]
        assert rules(found[name], "egress", 4317)[0]["to"] == [{"namespaceSelector": {"matchLabels": {"team": "observability"}}}]
    assert rules(found["keyvault"], "egress", 443)[0]["to"] == [{"ipBlock": {"cidr": "203.0.113.0/24"}}]


def test_the_database_server_is_reached_by_those_who_use_it():
    found = policies(render("postgres"))
    to = [[{"ipBlock": {"cidr": "10.2.0.7/32"}}]]
    assert [rule["to"] for rule in rules(found["keyvault"], "egress", 6432)] == to
    assert [rule["to"] for rule in rules(found["migrate"], "egress", 6432)] == to
    assert not rules(found["routing"], "egress", 6432)
    assert set().union(*(ports(rule) for rule in found["migrate"]["egress"])) == DNS | {(6432, "TCP")}
    assert not found["migrate"].get("ingress")


def hook(obj):
    notes = obj["metadata"]["annotations"]
    deleted = set(notes["helm.sh/hook-delete-policy"].split(","))
    return set(notes["helm.sh/hook"].split(",")), int(notes.get("helm.sh/hook-weight", 0)), deleted


def test_the_migration_s_policy_is_there_before_the_migration():
    """Else, in an upgrade, default-deny and the policy of the release before are what the Job runs under."""
    objects = render("postgres")
    job, policy = (one(objects, kind, "claviger-migrate") for kind in ("Job", "NetworkPolicy"))
    assert matches(policy["spec"]["podSelector"], job["spec"]["template"]["metadata"]["labels"])
    (when, weight, deleted), (policy_when, policy_weight, policy_deleted) = hook(job), hook(policy)
    assert policy_when == when == {"pre-install", "pre-upgrade"}
    assert policy_weight < weight
    # Helm tracks no hook: what is not deleted is in the way of the next one, and left behind by an uninstall.
    assert policy_deleted == deleted == {"before-hook-creation", "hook-succeeded"}
    others = [obj for obj in objects if obj not in (job, policy)]
    assert not [obj for obj in others if "helm.sh/hook" in obj["metadata"].get("annotations", {})]
