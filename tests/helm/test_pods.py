"""What every pod must be: restricted, probed, drained, and fed exactly the settings that its service documents."""

import re
import subprocess

import pytest

from chart import ROOT, one, pods, render

SHARED = {"CLAVIGER_TLS_CERT", "CLAVIGER_TLS_KEY", "CLAVIGER_TLS_CLIENT_CA", "CLAVIGER_TRUST_DOMAIN", "CLAVIGER_LOG",
          "CLAVIGER_SHUTDOWN_GRACE"}
SHARED_OPTIONAL = {"CLAVIGER_CATALOG_FILE", "OTEL_EXPORTER_OTLP_ENDPOINT"}
# Per service: what is always set, and what only when a value asks for it.
ENV = {
    "keyvault": (
        SHARED | {"CLAVIGER_KEYVAULT_LISTEN", "CLAVIGER_KEYVAULT_HEALTH_LISTEN", "CLAVIGER_KEYVAULT_METRICS_LISTEN",
                  "CLAVIGER_DATA_DIR", "CLAVIGER_MASTER_KEY_FILE", "CLAVIGER_ROUTING_ID"},
        SHARED_OPTIONAL | {"CLAVIGER_EGRESS_ALLOW", "CLAVIGER_EGRESS_PROXY", "CLAVIGER_EGRESS_CA_FILE", "CLAVIGER_BYOK_PLANS"},
    ),
    "routing": (
        SHARED | {"CLAVIGER_ROUTING_LISTEN", "CLAVIGER_ROUTING_HEALTH_LISTEN", "CLAVIGER_ROUTING_METRICS_LISTEN",
                  "CLAVIGER_KEYVAULT_URL"},
        SHARED_OPTIONAL | {"CLAVIGER_KEYVAULT_SERVER_NAME"},
    ),
}
EXTRA = {"keyvault": {"EXTRA", "FROM_POD"}, "routing": {"EXTRA"}}
PORTS = {"keyvault": (50051, 50061, 9464), "routing": (50052, 50062, 9465)}
# What claviger_runtime::health serves for liveness; test_liveness_is_what_the_services_serve holds it to the code.
LIVENESS = "liveness"
SERVICES = {"keyvault": "claviger.keyvault.v1.KeyVault", "routing": "claviger.routing.v1.Routing"}
RESTRICTED_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected",
                      "secret"}


def service_pods(objects):
    """The two services' pods, as (component, spec, container)."""
    out = {}
    for _, _, spec in pods(objects):
        container = spec["containers"][0]
        if container["name"] in ENV and "readinessProbe" in container:
            out[container["name"]] = (spec, container)
    assert set(out) == set(ENV)
    return [(component, *out[component]) for component in sorted(out)]


def env_of(container):
    names = [item["name"] for item in container["env"]]
    assert len(names) == len(set(names)), "a variable is set twice"
    return {item["name"]: item.get("value") for item in container["env"]}


def containers(spec):
    return spec["containers"] + spec.get("initContainers", []) + spec.get("ephemeralContainers", [])


def test_pod_security_is_restricted(objects):
    for name, _, spec in pods(objects):
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        pod = spec["securityContext"]
        assert pod["runAsNonRoot"] is True, name
        assert pod["runAsUser"] == pod["runAsGroup"] == pod["fsGroup"] == 65532, name
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"sysctls", "seLinuxOptions", "supplementalGroups", "windowsOptions"} & set(pod), name
        for volume in spec.get("volumes", []):
            assert set(volume) - {"name"} <= RESTRICTED_VOLUMES, f"{name}: {volume}"
        for container in containers(spec):
            where = f"{name}/{container['name']}"
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, where
            assert all("hostPort" not in port for port in container.get("ports", [])), where
            assert all("host" not in str(container.get(probe, "")) for probe in ("livenessProbe", "lifecycle")), where


def test_no_service_account_token(objects):
    for name, _, spec in pods(objects):
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, name
    for account in (obj for obj in objects if obj["kind"] == "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_no_shell_is_needed(objects):
    for name, _, spec in pods(objects):
        for container in containers(spec):
            assert re.fullmatch(r"/usr/local/bin/claviger-(keyvault|routing)", container["command"][0]), name
            migrate = ["migrate", "--service-role", "keyvault"]
            assert container["command"][1:] == (migrate if name.startswith("Job/") else ["serve"]), name
            assert "exec" not in str(container.get("lifecycle")), name


def test_accounts_exist_where_the_chart_makes_them(objects, values):
    made = {obj["metadata"]["name"] for obj in objects if obj["kind"] == "ServiceAccount"}
    used = {spec["serviceAccountName"] for _, spec, _ in service_pods(objects)}
    assert made == (set() if values == "bare" else used)
    assert len(used) == 2, "each service has its own account"


def test_probes(objects):
    for component, _, container in service_pods(objects):
        _, health, _ = PORTS[component]
        assert container["livenessProbe"]["grpc"] == {"port": health, "service": LIVENESS}
        assert container["startupProbe"]["grpc"] == {"port": health, "service": LIVENESS}
        assert container["readinessProbe"]["grpc"] == {"port": health, "service": SERVICES[component]}


def test_liveness_is_what_the_services_serve():
    """A name that the health service does not know answers NOT_FOUND, and the kubelet kills the pod for it."""
    source = (ROOT / "crates" / "runtime" / "src" / "health.rs").read_text()
    assert re.findall(r'const LIVENESS: &str = "([^"]*)";', source) == [LIVENESS]


def test_shutdown_fits_into_the_termination_period(objects, values):
    for _, spec, container in service_pods(objects):
        sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        grace = int(env_of(container)["CLAVIGER_SHUTDOWN_GRACE"])
        assert spec["terminationGracePeriodSeconds"] > sleep + grace
        assert (sleep, grace) == {"bare": (0, 1), "full": (7, 40)}.get(values, (5, 20))


def test_ports_are_those_listened_on(objects):
    for component, _, container in service_pods(objects):
        env, prefix = env_of(container), f"CLAVIGER_{component.upper()}"
        listened = tuple(env[f"{prefix}{kind}_LISTEN"] for kind in ("", "_HEALTH", "_METRICS"))
        assert listened == tuple(f"0.0.0.0:{port}" for port in PORTS[component])
        assert {port["name"]: port["containerPort"] for port in container["ports"]} == dict(
            zip(("tls-grpc", "health", "metrics"), PORTS[component], strict=True))


@pytest.mark.parametrize("values", ["minimal", "full"])
def test_environment_is_what_the_services_document(values):
    for component, _, container in service_pods(render(values)):
        required, optional = ENV[component]
        expected = required if values == "minimal" else required | optional | EXTRA[component]
        assert set(env_of(container)) == expected, component


def test_environment_values_come_from_the_values():
    pods_of = {component: env_of(container) for component, _, container in service_pods(render("full"))}
    keyvault, routing = pods_of["keyvault"], pods_of["routing"]
    for env in (keyvault, routing):
        assert env["CLAVIGER_TRUST_DOMAIN"] == "example.org"
        assert env["CLAVIGER_LOG"] == "info,claviger=debug"
        assert env["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://otel-collector.observability:4317"
    assert keyvault["CLAVIGER_ROUTING_ID"] == "spiffe://example.org/claviger/routing"
    assert keyvault["CLAVIGER_EGRESS_ALLOW"] == "ollama.internal,10.1.0.0/16"
    assert keyvault["CLAVIGER_BYOK_PLANS"] == "pro"
    assert keyvault["CLAVIGER_EGRESS_CA_FILE"] == "/etc/ssl/roots/ca.pem"
    assert routing["CLAVIGER_KEYVAULT_SERVER_NAME"] == "keyvault.example.org"


def test_routing_finds_keyvault(objects):
    env = {component: env_of(container) for component, _, container in service_pods(objects)}["routing"]
    host, port = re.fullmatch(r"https://([a-z0-9-]+):(\d+)", env["CLAVIGER_KEYVAULT_URL"]).groups()
    service = one(objects, "Service", host)
    assert int(port) in [item["port"] for item in service["spec"]["ports"] if item["targetPort"] == "tls-grpc"]
    assert service["spec"]["selector"]["app.kubernetes.io/component"] == "keyvault"


@pytest.mark.parametrize("component", sorted(ENV))
def test_environment_is_what_the_binary_reads(component):
    binary = ROOT / "target" / "debug" / f"claviger-{component}"
    if not binary.exists():
        pytest.skip(f"{binary.name} is not built")
    done = subprocess.run([binary, "serve", "--help"], capture_output=True, text=True, timeout=30, check=False)
    if done.returncode != 0 or "CLAVIGER_" not in done.stdout:
        pytest.skip(f"{binary.name} has no `serve` yet")
    known = set(re.findall(r"\[env: ([A-Z_]+)=?", done.stdout))
    required, optional = ENV[component]
    assert {name for name in required | optional if name.startswith("CLAVIGER_")} <= known


def test_files_are_mounted_where_the_environment_says(objects):
    """And as whole directories: a file mounted by subPath never sees a renewed certificate."""
    for component, spec, container in service_pods(objects):
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        assert all("subPath" not in mount for mount in mounts.values())
        for name, path in env_of(container).items():
            if not (path or "").startswith("/etc/claviger/"):
                continue
            directory, file = path.rsplit("/", 1)
            assert mounts[directory]["readOnly"] is True
            volume = volumes[mounts[directory]["name"]]
            source = volume.get("secret") or volume["configMap"]
            assert file in [item["path"] for item in source["items"]], f"{component}: {name}"


def test_secret_files_are_readable_to_the_group_alone(objects):
    expected = {"keyvault": {"claviger-master-key", "claviger-keyvault-tls"}, "routing": {"claviger-routing-tls"}}
    for component, spec, _ in service_pods(objects):
        secrets = [volume["secret"] for volume in spec["volumes"] if "secret" in volume]
        assert {secret["secretName"] for secret in secrets} == expected[component]
        assert all(secret["defaultMode"] == 0o440 for secret in secrets)


def secret_environment(container):
    """The variables that come from Secrets, as {variable: (secret, key)}."""
    refs = {item["name"]: item.get("valueFrom", {}).get("secretKeyRef") for item in container["env"]}
    return {name: (ref["name"], ref["key"]) for name, ref in refs.items() if ref}


def test_of_secrets_only_urls_become_environment(objects):
    for name, _, spec in pods(objects):
        for container in containers(spec):
            assert "envFrom" not in container, name
            assert set(secret_environment(container)) <= {"CLAVIGER_DATABASE_URL", "CLAVIGER_EGRESS_PROXY"}, name


def test_with_a_server_there_is_no_volume_and_the_owner_migrates_first():
    objects = render("postgres")
    keyvault = one(objects, "StatefulSet", "claviger-keyvault")["spec"]
    assert keyvault["replicas"] == 3
    assert "volumeClaimTemplates" not in keyvault
    spec = keyvault["template"]["spec"]
    assert "data" not in [volume["name"] for volume in spec["volumes"]]
    container = spec["containers"][0]
    assert "data" not in [mount["name"] for mount in container["volumeMounts"]]
    env = env_of(container)
    assert "CLAVIGER_DATA_DIR" not in env
    assert env["CLAVIGER_BYOK_PLANS"] == "team,enterprise"
    assert secret_environment(container) == {"CLAVIGER_DATABASE_URL": ("claviger-database", "service"),
                                             "CLAVIGER_EGRESS_PROXY": ("claviger-proxy", "proxy")}

    job = one(objects, "Job", "claviger-migrate")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    migrate = job["spec"]["template"]["spec"]
    assert "serviceAccountName" not in migrate, "the hook runs before the chart's accounts are made"
    assert migrate["restartPolicy"] == "Never"
    assert secret_environment(migrate["containers"][0]) == {"CLAVIGER_DATABASE_URL": ("claviger-database-owner", "owner")}


def test_without_the_owner_s_secret_there_is_no_job():
    objects = render("postgres", "--set", "keyvault.database.migrate.existingSecret=")
    assert not [obj for obj in objects if obj["metadata"]["name"] == "claviger-migrate"]


def test_keyvault_has_one_writer_and_keeps_its_data(objects, values):
    if values == "postgres":
        pytest.skip("a server keeps it")
    keyvault = next(obj for obj in objects if obj["kind"] == "StatefulSet")["spec"]
    assert keyvault["replicas"] == 1
    container = keyvault["template"]["spec"]["containers"][0]
    paths = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert paths["data"] == env_of(container)["CLAVIGER_DATA_DIR"]
    claim = keyvault["volumeClaimTemplates"][0]
    assert claim["metadata"]["name"] == "data"
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert claim["spec"]["resources"]["requests"]["storage"] == ("20Gi" if values == "full" else "1Gi")
    assert keyvault["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}


def test_scheduling_and_annotations_reach_the_pods():
    for component, spec, container in service_pods(render("full")):
        assert spec["priorityClassName"] == "high"
        assert spec["nodeSelector"] == {"disk": "ssd"}
        assert spec["tolerations"][0]["key"] == "dedicated"
        assert spec["affinity"] and spec["imagePullSecrets"] == [{"name": "registry"}]
        assert spec["topologySpreadConstraints"][0]["topologyKey"] == "zone"
        assert container["resources"]["limits"] == {"cpu": "2", "memory": "1Gi"}, component
        assert container["image"].startswith("registry.example.org/claviger@sha256:")
    for _, metadata, _ in [pod for pod in pods(render("full")) if not pod[0].startswith("Pod/")]:
        assert metadata["annotations"] == {"team": "keys"}
        assert metadata["labels"]["team"] == "keys"


@pytest.mark.parametrize(("values", "kind", "name"), [
    ("minimal", "Deployment", "claviger-routing"),
    ("postgres", "Deployment", "claviger-routing"),
    ("postgres", "StatefulSet", "claviger-keyvault"),
])
def test_several_pods_spread_by_default(values, kind, name):
    spec = one(render(values), kind, name)["spec"]
    assert spec["replicas"] > 1
    keys = []
    for constraint in spec["template"]["spec"]["topologySpreadConstraints"]:
        keys.append(constraint["topologyKey"])
        assert constraint["labelSelector"] == spec["selector"]
        assert constraint["whenUnsatisfiable"] == "ScheduleAnyway"
        # A StatefulSet's pods do not have the label.
        assert constraint.get("matchLabelKeys") == (["pod-template-hash"] if kind == "Deployment" else None)
    assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]


def test_one_vault_alone_is_not_spread_unless_the_values_say_so():
    for extra in ([], ["--set", "keyvault.topologySpreadConstraints[0].topologyKey=zone"]):
        pod = one(render("minimal", *extra), "StatefulSet", "claviger-keyvault")["spec"]["template"]["spec"]
        keys = [constraint["topologyKey"] for constraint in pod.get("topologySpreadConstraints", [])]
        assert keys == (["zone"] if extra else [])
