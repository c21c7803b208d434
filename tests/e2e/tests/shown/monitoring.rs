//! What `docker/monitoring` has for Prometheus and Grafana: read by Prometheus' own promtool, and each file beside those that it names.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use client::QoS;
use e2e::{Link, Setup, api::Api, program, v5};
use serde_json::{Value, json};

fn folder() -> PathBuf {
    program::source("../../docker")
}

fn monitoring(name: &str) -> PathBuf {
    folder().join("monitoring").join(name)
}

fn promtool(arguments: &[&str], file: &Path) -> Output {
    let mut command = program::command(program::installed("promtool"));
    command.args(arguments).arg(file).output().unwrap()
}

#[track_caller]
fn assert_content(output: &Output) {
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{error}");
}

/// A YAML file, whose comments are of no interest.
fn yaml(path: &Path) -> Value {
    let script = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    let output = program::command(program::python()).args(["-c", script]).arg(path).output().unwrap();
    assert_content(&output);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} of {value}"))
}

#[test]
fn prometheus_takes_its_configuration_and_the_rules() {
    assert_content(&promtool(&["check", "config"], &monitoring("prometheus.yaml")));
    assert_content(&promtool(&["check", "rules", "--lint-fatal"], &monitoring("alerts.yaml")));
}

#[test]
fn alerts_fire_when_they_are_to_and_only_then() {
    assert_content(&promtool(&["test", "rules"], &monitoring("alerts_test.yaml")));
}

#[test]
fn each_alert_is_seen_firing_and_silent() {
    let rules = yaml(&monitoring("alerts.yaml"));
    let rules = list(&rules, "groups").iter().flat_map(|group| list(group, "rules"));
    let alerts: BTreeSet<String> = rules.map(|rule| text(rule, "alert").to_owned()).collect();
    let tests = yaml(&monitoring("alerts_test.yaml"));
    let cases: Vec<&Value> =
        list(&tests, "tests").iter().flat_map(|test| list(test, "alert_rule_test")).collect();
    let seen = |is_firing: bool| -> BTreeSet<String> {
        let such = cases.iter().filter(|case| list(case, "exp_alerts").is_empty() != is_firing);
        such.map(|case| text(case, "alertname").to_owned()).collect()
    };
    assert!(alerts.len() >= 14, "{alerts:?}");
    assert_eq!(seen(true), alerts, "firing");
    assert_eq!(seen(false), alerts, "silent");
}

#[test]
fn promtool_has_nothing_to_say_about_a_live_page() {
    let config = "[api]\nlisten = [\"127.0.0.1:0\"]\n";
    let broker = Setup::new("promtool").config(config).with_api().shards(2).start();
    let api = Api::of(&broker);
    api.await_ready();
    let mut link = Link::connect(broker.port, v5("c"));
    link.subscribe("a", QoS::AtLeastOnce);
    link.publish("a", "x", QoS::AtLeastOnce);
    link.message();
    let page = api.get("/metrics").text;
    let mut command = program::command(program::installed("promtool"));
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = with_input(&mut command, page.as_bytes());
    assert_content(&output);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "promtool's advice");
}

fn with_input(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// By their titles: what each panel asks, of all brokers and over five minutes.
fn panels() -> BTreeMap<String, Vec<String>> {
    let dashboard: Value = serde_json::from_slice(&fs::read(monitoring("dashboard.json")).unwrap()).unwrap();
    let expression =
        |target: &Value| text(target, "expr").replace("$instance", ".*").replace("$__rate_interval", "5m");
    let mut panels: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for panel in list(&dashboard, "panels") {
        let asked = list(panel, "targets").iter().map(expression);
        panels.entry(text(panel, "title").to_owned()).or_default().extend(asked);
    }
    panels
}

/// Asks Prometheus, of these series at their tenth minute.
#[track_caller]
fn assert_answers(name: &str, series: &[(&str, &str)], questions: &[Value]) {
    let series: Vec<Value> =
        series.iter().map(|(series, values)| json!({ "series": series, "values": values })).collect();
    let test = json!({ "interval": "1m", "input_series": series, "promql_expr_test": questions });
    let file = program::fresh_folder(name).join("test.yaml");
    // All JSON is YAML.
    fs::write(&file, json!({ "tests": [test] }).to_string()).unwrap();
    assert_content(&promtool(&["test", "rules"], &file));
}

fn question(expression: &str, answers: &[(&str, f64)]) -> Value {
    let answers: Vec<Value> =
        answers.iter().map(|(labels, value)| json!({ "labels": labels, "value": value })).collect();
    json!({ "expr": expression, "eval_time": "10m", "exp_samples": answers })
}

#[test]
fn prometheus_understands_what_every_panel_asks() {
    let asked: Vec<Value> =
        panels().into_values().flatten().map(|expression| question(&expression, &[])).collect();
    assert!(asked.len() > 50, "{}", asked.len());
    assert_answers("understood", &[], &asked);
}

#[test]
fn the_fullest_shard_of_each_broker_says_how_full_it_is() {
    let panels = panels();
    let full = &panels["How full"];
    let about = |word: &str| full.iter().find(|expression| expression.contains(word)).expect("a line");
    let series = [
        ("iothub_queued_bytes{instance='a', shard='0'}", "90x10"),
        ("iothub_queued_bytes{instance='a', shard='1'}", "0x10"),
        ("iothub_queued_bytes{instance='b', shard='0'}", "10x10"),
        ("iothub_unsent_bytes{instance='a', shard='0'}", "5x10"),
        ("iothub_unsent_bytes{instance='a', shard='1'}", "0x10"),
        ("iothub_unsent_bytes{instance='b', shard='0'}", "0x10"),
        ("iothub_queue_limit_bytes{instance='a', shard='0'}", "100x10"),
        ("iothub_queue_limit_bytes{instance='a', shard='1'}", "100x10"),
        ("iothub_queue_limit_bytes{instance='b', shard='0'}", "100x10"),
        ("iothub_sessions{instance='a', shard='0'}", "1x10"),
        ("iothub_sessions{instance='a', shard='1'}", "40x10"),
        ("iothub_sessions_limit{instance='a', shard='0'}", "50x10"),
        ("iothub_sessions_limit{instance='a', shard='1'}", "50x10"),
    ];
    let questions = [
        question(about("iothub_queued_bytes"), &[("{instance='a'}", 0.95), ("{instance='b'}", 0.1)]),
        question(about("iothub_sessions"), &[("{instance='a'}", 0.8)]),
    ];
    assert_answers("fullest", &series, &questions);
}

/// Two brokers whose shards are busy all the time are no shard that is busy twice.
#[test]
fn shards_of_several_brokers_stand_beside_each_other() {
    let shards = [
        ("iothub_turn_seconds_sum{instance='a', shard='0'}", "0+60x10"),
        // A turn counts where it ends, even if it has begun long before.
        ("iothub_turn_seconds_sum{instance='b', shard='0'}", "0+66x10"),
        ("iothub_turn_seconds_sum{instance='b', shard='1'}", "0+6x10"),
    ];
    let busy = &panels()["Busy"][0];
    let answers = [
        ("{instance='a', shard='0'}", 1.0),
        ("{instance='b', shard='0'}", 1.0),
        ("{instance='b', shard='1'}", 0.1),
    ];
    assert_answers("busy", &shards, &[question(busy, &answers)]);
}

#[test]
fn no_line_of_a_panel_is_of_several_brokers() {
    let dashboard: Value = serde_json::from_slice(&fs::read(monitoring("dashboard.json")).unwrap()).unwrap();
    for panel in list(&dashboard, "panels").iter().filter(|panel| panel["type"] == "timeseries") {
        for target in list(panel, "targets") {
            let expression = text(target, "expr").replace("clamp_max(", "");
            for of_several in ["sum(", "max(", "min(", "avg("] {
                assert!(!expression.contains(of_several), "{}: {expression}", panel["title"]);
            }
            let kinds = expression.matches(" by (").count();
            assert_eq!(
                expression.matches(" by (instance").count(),
                kinds,
                "{}: {expression}",
                panel["title"]
            );
            assert!(text(target, "legendFormat").contains("{{instance}}"), "{}", panel["title"]);
        }
    }
}

/// Paths of the second compose file are relative to the folder of the first one.
#[test]
fn what_the_compose_files_mount_is_there() {
    let mut volumes = BTreeSet::new();
    let mut mounts = Vec::new();
    for file in ["compose.yaml", "monitoring/compose.yaml"] {
        let compose = yaml(&folder().join(file));
        volumes.extend(compose["volumes"].as_object().unwrap().keys().cloned());
        for service in compose["services"].as_object().unwrap().values() {
            mounts.extend(list(service, "volumes").iter().map(|mount| mount.as_str().unwrap().to_owned()));
        }
    }
    assert!(mounts.len() >= 8, "{mounts:?}");
    for mount in mounts {
        let source = mount.split(':').next().unwrap();
        let is_there =
            if source.starts_with('.') { folder().join(source).is_file() } else { volumes.contains(source) };
        assert!(is_there, "{mount}");
    }
    let build = yaml(&folder().join("compose.yaml"))["services"]["iothub"]["build"].clone();
    assert!(folder().join(text(&build, "context")).join(text(&build, "dockerfile")).is_file());
}

/// Where somebody listens, and where somebody else looks for him.
#[test]
fn services_look_for_each_other_where_they_are() {
    let compose = yaml(&monitoring("compose.yaml"));
    let services = &compose["services"];
    let api = &services["iothub"]["environment"];
    let port = text(api, "IOTHUB_API__LISTEN").rsplit_once(':').unwrap().1;
    let scraped = yaml(&monitoring("prometheus.yaml"));
    let target = list(&list(&list(&scraped, "scrape_configs")[0], "static_configs")[0], "targets")[0].clone();
    assert_eq!(target, json!(format!("{}:{port}", text(api, "IOTHUB_API__HOSTS"))));
    assert!(services.get(text(api, "IOTHUB_API__HOSTS")).is_some());

    let mounted = |service: &str, file: &str| {
        let mounts = list(&services[service], "volumes");
        let path =
            mounts.iter().find_map(|mount| mount.as_str()?.strip_prefix(&format!("./monitoring/{file}:")));
        path.unwrap_or_else(|| panic!("{file} is not mounted")).trim_end_matches(":ro").to_owned()
    };
    let configuration = mounted("prometheus", "prometheus.yaml");
    assert!(
        list(&services["prometheus"], "command").contains(&json!(format!("--config.file={configuration}")))
    );
    let rules = Path::new(&configuration).with_file_name(list(&scraped, "rule_files")[0].as_str().unwrap());
    assert_eq!(rules, Path::new(&mounted("prometheus", "alerts.yaml")));

    let provider = list(&yaml(&monitoring("grafana/dashboards.yaml")), "providers")[0].clone();
    let dashboard = mounted("grafana", "dashboard.json");
    assert_eq!(Path::new(&dashboard).parent().unwrap(), Path::new(text(&provider["options"], "path")));
    for (file, kind) in
        [("grafana/datasource.yaml", "datasources"), ("grafana/dashboards.yaml", "dashboards")]
    {
        let folder = format!("/etc/grafana/provisioning/{kind}/");
        assert!(mounted("grafana", file).starts_with(&folder), "{file}");
    }
    let source = list(&yaml(&monitoring("grafana/datasource.yaml")), "datasources")[0].clone();
    assert_eq!(text(&source, "url"), "http://prometheus:9090");
    let interval = &scraped["global"]["scrape_interval"];
    assert_eq!(&source["jsonData"]["timeInterval"], interval);
}
