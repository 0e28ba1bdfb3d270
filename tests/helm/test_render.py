"""What every render must be: valid, repeatable, free of secrets, and refused when it lacks something."""

import re

import jsonschema
import kubernetes_validate
import pytest
import yaml

from chart import CHART, ROOT, VALUE_SETS, VALUES, helm, of_kind, one, parse, pods, render

# The oldest release that Chart.yaml admits, and the newest known one.
KUBERNETES = ["1.30", "1.37"]
REQUIRED = {
    "trustDomain": "SPIFFE trust domain",
    "keyvault.routingIdentity": "SPIFFE URI in routing's certificate",
    "keyvault.masterKey.existingSecret": "claviger-keyvault keyring generate --out master.key",
    "keyvault.tls.existingSecret": "create secret generic claviger-keyvault-tls --from-file=tls.crt",
    "routing.tls.existingSecret": "create secret generic claviger-routing-tls --from-file=tls.crt",
}
# The Prometheus operator's kinds, as far as the chart writes them.
MONITOR = {
    "type": "object",
    "required": ["selector"],
    "additionalProperties": False,
    "properties": {
        "selector": {"type": "object", "required": ["matchLabels"], "additionalProperties": False,
                     "properties": {"matchLabels": {"type": "object"}}},
        "endpoints": {"$ref": "#/$defs/endpoints"},
        "podMetricsEndpoints": {"$ref": "#/$defs/endpoints"},
    },
    "$defs": {"endpoints": {
        "type": "array", "minItems": 1,
        "items": {"type": "object", "required": ["port", "path", "interval"], "additionalProperties": False,
                  "properties": {"port": {"const": "metrics"}, "path": {"const": "/metrics"},
                                 "interval": {"pattern": "^[0-9]+(ms|s|m|h)$"}}},
    }},
}


def test_value_sets_exist():
    assert {"minimal", "bare", "closed", "full", "postgres"} <= set(VALUE_SETS)


def test_lint(values):
    out = helm("--strict", command="lint", values=values)
    assert "0 chart(s) failed" in out


@pytest.mark.parametrize("version", KUBERNETES)
def test_objects_are_valid(objects, version):
    for obj in objects:
        if obj["apiVersion"].startswith("monitoring.coreos.com/"):
            jsonschema.validate(obj["spec"], MONITOR)
            continue
        kubernetes_validate.validate(obj, version, strict=True)


def test_names_are_unique_and_short(objects):
    names = [(obj["kind"], obj["metadata"]["name"]) for obj in objects]
    assert len(names) == len(set(names))
    # Helm's longest release name.
    long = parse(helm("--name-template", "a" * 53, values="minimal"))
    assert max(len(obj["metadata"]["name"]) for obj in long) <= 63


@pytest.mark.parametrize("missing", REQUIRED)
def test_missing_value_is_named(missing):
    done = helm("--set", f"{missing}=", values="minimal", check=False)
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("set ")]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith(f"set {missing} to ")
    assert REQUIRED[missing] in lines[0]


def test_everything_missing_is_named_at_once():
    done = helm(check=False)
    assert done.returncode != 0
    for name in REQUIRED:
        assert f"set {name} to " in done.stderr


@pytest.mark.parametrize(("setting", "word"), [
    ("keyvault.routingIdentity=spiffe://elsewhere.org/routing", "must begin with spiffe://example.org/"),
    ("keyvault.extraEnv[0].name=CLAVIGER_MASTER_KEY", "may not set CLAVIGER_MASTER_KEY"),
    ("routing.extraEnv[0].name=CLAVIGER_DEV", "may not set CLAVIGER_DEV"),
    ("routing.extraEnv[0].name=CLAVIGER_ROUTING_LISTEN", "may not set CLAVIGER_ROUTING_LISTEN"),
    ("keyvault.replicas=2", "the embedded database has one writer"),
    ("keyvault.database.migrate.existingSecret=x", "the embedded database migrates itself"),
    ("keyvault.database.existingSecret=x,keyvault.database.migrate.existingSecret=y", "must name the role"),
    ("keyvault.extraEnv[0].name=CLAVIGER_DATABASE_URL", "may not set CLAVIGER_DATABASE_URL"),
    ("metrics.podMonitor.enabled=true,metrics.serviceMonitor.enabled=true", "not both"),
])
def test_contradictions_are_refused(setting, word):
    done = helm("--set", setting, values="minimal", check=False)
    assert done.returncode != 0
    assert word in done.stderr


@pytest.mark.parametrize("setting", [
    "keyvalt.log=info",
    "keyvault.replicas=0",
    "routing.tls.existingSecrets=x",
    "routing.replicas=two",
    "keyvault.databaseUrl=postgres://somewhere",
    "networkPolicy.routing.client[0].podSelector=x",
    "metrics.podMonitor.intervall=1s",
    "shutdown.graceSeconds=0",
    f"fullnameOverride={'a' * 45}",
    "image.digest=sha256:abc",
    "otlp.endpoint=http://user:password@collector:4317",
    "trustDomain=spiffe://example.org",
    "keyvault.extraEnv[0].nam=x",
])
def test_schema_refuses_typos(setting):
    done = helm("--set", setting, values="minimal", check=False)
    assert done.returncode != 0
    assert "schema" in done.stderr


def test_schema_is_closed_and_covers_every_value():
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())

    def walk(node, value, path):
        node = schema["definitions"][node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node
        if "properties" not in node:
            return
        assert node.get("additionalProperties") is False, f"{path} takes any name"
        extra = {"global", "enabled"} if not path else set()
        assert set(node["properties"]) - extra == set(value), path
        for key, inner in value.items():
            walk(node["properties"][key], inner, f"{path}.{key}")

    walk(schema, defaults, "")


def test_full_sets_every_value():
    """Or the sweep would not see the templates' branches."""
    full = yaml.safe_load((VALUES / "full.yaml").read_text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    # Alternatives to something that the set does use.
    other = {".image.tag", ".keyvault.persistence.existingClaim", ".metrics.podMonitor", ".routing.serviceAccount.name"}

    def walk(value, given, path):
        for key, inner in value.items():
            here = f"{path}.{key}"
            if here in other:
                continue
            assert key in given, f"full.yaml lacks {here}"
            if isinstance(inner, dict) and inner and isinstance(given[key], dict) and key != "resources":
                walk(inner, given[key], here)

    walk(defaults, full, "")


def test_readme_lists_every_value():
    readme = (CHART / "README.md").read_text()
    listed = set(re.findall(r"^\| `([A-Za-z.]+)` \|", readme, re.MULTILINE))
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())

    def leaves(value, path=""):
        for key, inner in value.items():
            here = f"{path}.{key}" if path else key
            if isinstance(inner, dict) and inner and key != "resources":
                yield from leaves(inner, here)
            else:
                yield here

    assert listed == set(leaves(defaults))


def test_renders_are_identical(values):
    assert helm(values=values) == helm(values=values)


def test_no_secret_is_made():
    for name in VALUE_SETS:
        assert not of_kind(render(name), "Secret", "SealedSecret", "ExternalSecret")
    forbidden = re.compile(r"rand(Alpha|Numeric|Ascii|Bytes|Int)|gen(CA|Self|Signed|PrivateKey)|derivePassword|uuidv4|"
                           r"htpasswd|bcrypt|\blookup\b|\bnow\b|kind:\s*Secret\b|encryptAES")
    for path in (CHART / "templates").rglob("*"):
        if path.is_file():
            assert not forbidden.search(path.read_text()), path


def test_notes_show_calls_with_certificates():
    out = helm("--set", "metrics.podMonitor.enabled=true", "--dry-run=client", command="install", values="minimal")
    notes = out.split("NOTES:", 1)[1]
    calls = re.sub(r"\\\n\s*", "", notes)
    lines = [line for line in calls.splitlines() if line.strip().startswith("grpcurl")]
    assert len(lines) >= 2
    for line in lines:
        assert "-cacert ca.crt -cert client.crt -key client.key" in line
        assert "-plaintext" not in line
    for peers in ("routing.clients", "keyvault.clients", "metrics.from"):
        assert f"networkPolicy.{peers} is empty" in notes


@pytest.mark.parametrize("args", [["--set", "image.tag=9.9.9"], ["--set", "log=debug", "--set", "keyvault.podLabels.a=b"]])
def test_upgrade_keeps_immutable_fields(values, args, tmp_path):
    """A StatefulSet refuses changes of its claims, selector and service name; a Deployment of its selector."""
    newer = tmp_path / "claviger"
    for path in CHART.rglob("*"):
        if path.is_file():
            target = newer / path.relative_to(CHART)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(re.sub(r"(?m)^((?:appV|v)ersion): .*", r'\1: "7.7.7"', path.read_text())
                              if path.name == "Chart.yaml" else path.read_text())
    before, after = render(values), parse(helm(*args, values=values, chart=newer))
    for obj in of_kind(before, "StatefulSet", "Deployment"):
        twin = one(after, obj["kind"], obj["metadata"]["name"])
        for field in ("selector", "serviceName", "volumeClaimTemplates", "podManagementPolicy"):
            assert obj["spec"].get(field) == twin["spec"].get(field), field


def test_existing_claim_replaces_the_template():
    objects = render("minimal", "--set", "keyvault.persistence.existingClaim=mine")
    spec = one(objects, "StatefulSet", "claviger-keyvault")["spec"]
    assert "volumeClaimTemplates" not in spec
    data = [v for v in spec["template"]["spec"]["volumes"] if v["name"] == "data"]
    assert data == [{"name": "data", "persistentVolumeClaim": {"claimName": "mine"}}]


def test_the_documented_job_is_valid_and_finds_what_the_chart_s_pods_find():
    text = (ROOT / "docs" / "operations.md").read_text()
    jobs = [parse(block) for block in re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]
    assert len(jobs) == 1
    for version in KUBERNETES:
        kubernetes_validate.validate(jobs[0][0], version, strict=True)
    (_, _, job), = pods(jobs[0])
    chart = one(render("postgres"), "StatefulSet", "claviger-keyvault")["spec"]["template"]["spec"]
    own, theirs = job["containers"][0], chart["containers"][0]
    assert job["securityContext"].items() <= chart["securityContext"].items()
    assert own["securityContext"] == theirs["securityContext"]
    file = {"name": "CLAVIGER_MASTER_KEY_FILE", "value": "/etc/claviger/master/master.key"}
    assert file in own["env"] and file in theirs["env"]
    for container in (own, theirs):
        assert {"name": "master-key", "mountPath": "/etc/claviger/master", "readOnly": True} in container["volumeMounts"]
    assert {mount["name"] for mount in own["volumeMounts"]} == {volume["name"] for volume in job["volumes"]}
    key = [volume["secret"] for volume in job["volumes"] if volume["name"] == "master-key"]
    assert key == [volume["secret"] for volume in chart["volumes"] if volume["name"] == "master-key"]


def test_the_documented_way_to_shut_callers_out_does():
    out = ["--set", "keyvault.replicas=1", "--set", "routing.replicas=0", "--set-json", "networkPolicy.keyvault.clients=[]"]
    text = (ROOT / "docs" / "operations.md").read_text()
    assert " ".join(out) in re.sub(r"\s*\\\n\s*", " ", text).replace("'", "")
    objects = render("full", *out)
    assert one(objects, "Deployment", "vault-routing")["spec"]["replicas"] == 0
    policy = one(objects, "NetworkPolicy", "vault-keyvault")["spec"]
    callers = [rule["from"] for rule in policy["ingress"] if {"port": 50051, "protocol": "TCP"} in rule["ports"]]
    assert [[set(peer) for peer in rule] for rule in callers] == [[{"podSelector"}]], "routing alone, which has no pod"
