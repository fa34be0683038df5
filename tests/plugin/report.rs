//! `report`: rows, owners, readers by RBAC, several clusters and orphans, as files for people and programs.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::scene::Scene;
use testkit::fixtures::{spec, unscheduled};

const HEADER: &str = "cluster,namespace,name,owner,contact,classification,schedule,strategy,lastRotationTime,ageSeconds,lastDueTime,lastLateSeconds,\
                      lastFailedAttempts,nextRotationTime,overdue,overdueSeconds,ready,reason,kmsKeyId,region,secretArn,currentVersionId,deletionPolicy,historyEntries,mirrorSecretName";

impl Scene {
    async fn apply(&self, object: Value) -> Result<()> {
        self.world.cluster.apply_yaml_in(&self.world.namespace, &object.to_string()).await?;
        Ok(())
    }

    /// A Role with these rules, and its binding to this subject.
    async fn bind(&self, name: &str, rules: Value, subject: Value) -> Result<()> {
        let group = "rbac.authorization.k8s.io";
        let version = format!("{group}/v1");
        self.apply(json!({"apiVersion": version, "kind": "Role", "metadata": {"name": name}, "rules": rules})).await?;
        let role = json!({"apiGroup": group, "kind": "Role", "name": name});
        self.apply(
            json!({"apiVersion": version, "kind": "RoleBinding", "metadata": {"name": name}, "roleRef": role, "subjects": [subject]}),
        )
        .await
    }
}

fn secrets(verbs: &[&str], names: &[&str]) -> Value {
    json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": verbs, "resourceNames": names}])
}

#[tokio::test(flavor = "multi_thread")]
async fn each_credential_has_a_row_and_no_cell_is_a_formula_or_markup() -> Result<()> {
    let scene = Scene::new("report").await?;
    let namespace = scene.world.namespace.clone();
    scene.settled("db", spec()).await?;
    scene.settled("api", unscheduled()).await?;
    let hostile = "=HYPERLINK(\"http://example.com\")|\n\u{1b}[2J<b>";
    scene
        .world
        .patch(
            "db",
            json!({"metadata": {"labels": {"team": "payments", "data-classification": "internal"},
        "annotations": {"example.com/owner": hostile, "contact": "oncall"}}}),
        )
        .await?;

    let ran = scene.run("report").await?.ends(0);
    let lines: Vec<&str> = ran.out.split("\r\n").collect();
    assert_eq!((lines[0], lines.len(), lines[3]), (HEADER, 4, ""), "{ran:#?}");
    let (api, db): (Vec<&str>, Vec<&str>) = (lines[1].split(',').collect(), lines[2].split(',').collect());
    assert_eq!(api[1..8], [namespace.as_str(), "api", "", "", "", "none", "none"], "{ran:#?}");
    assert_eq!(db[1..8], [namespace.as_str(), "db", "payments", "oncall", "internal", "rate(1 hour)", "operator"], "{ran:#?}");
    let arn = scene.world.aws_secret("db").context("a secret")?.arn;
    assert_eq!((db[14], db[16], db[17], db[20], db[24]), ("false", "True", "Succeeded", arn.as_str(), "db"), "{ran:#?}");

    let by = "report --owner-label none --owner-label example.com/owner";
    let ran = scene.run(by).await?.ends(0);
    assert!(ran.out.contains(r#","'=HYPERLINK(""http://example.com"")|\n\u{1b}[2J<b>","#), "{ran:#?}");
    let ran = scene.run(&format!("{by} -o markdown")).await?.ends(0);
    assert!(ran.out.contains(r#"| `=HYPERLINK("http://example.com")\|\n\u{1b}[2J<b>` |"#), "{ran:#?}");
    assert_eq!(ran.out.lines().count(), 4, "{ran:#?}");
    let rows = scene.run(&format!("{by} -o json")).await?.ends(0).json();
    assert_eq!((&rows[0]["name"], &rows[1]["owner"], &rows[1]["overdue"]), (&json!("api"), &json!(hostile), &json!(false)));
    assert!(rows[1].get("readers").is_none(), "{rows}");
    let rows = scene.run("report --max-age-days 1 -o json").await?.ends(0).json();
    assert_eq!((&rows[1]["overAge"], rows[1]["ageSeconds"].is_number()), (&json!(false), true), "{rows}");
    scene.run_with(&["report", "-n", "typo"], &[]).await?.ends(3).in_one_sentence().says("there is no namespace typo");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readers_are_those_whom_rbac_allows_and_what_may_not_be_listed_is_named() -> Result<()> {
    let scene = Scene::new("readers").await?;
    let namespace = scene.world.namespace.clone();
    scene.settled("db", spec()).await?;
    scene.settled("api", unscheduled()).await?;
    let user = |name: &str| json!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": name});
    scene.bind("one", secrets(&["get"], &["db"]), user("jane")).await?;
    scene.bind("list", secrets(&["list"], &[]), json!({"kind": "ServiceAccount", "name": "ci", "namespace": namespace})).await?;
    scene.bind("write", secrets(&["create", "update"], &[]), user("joe")).await?;
    scene.bind("patch", secrets(&["patch"], &["db"]), user("pat")).await?;
    let view = json!([{"apiGroups": ["rotated-secrets.io"], "resources": ["rotatedsecrets"], "verbs": ["get", "list"]}]);
    scene.bind("view", view, user("auditor")).await?;

    let rows = scene.run("report --readers -o json").await?.ends(0).json();
    let readers = |row: usize| -> Vec<&str> { rows[row]["readers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect() };
    let ci = format!("ServiceAccount:{namespace}/ci");
    assert!(readers(1).contains(&"User:jane") && readers(1).contains(&ci.as_str()), "{rows}");
    assert!(readers(1).contains(&"User:pat") && !readers(0).contains(&"User:pat"), "{rows}");
    assert!(!readers(0).contains(&"User:jane") && readers(0).contains(&ci.as_str()), "{rows}");
    // cluster-admin of every cluster.
    assert!(readers(0).contains(&"Group:system:masters"), "{rows}");
    assert!(
        !readers(1).iter().any(|reader| reader.contains("joe") || reader.contains("auditor") || reader.starts_with("unknown")),
        "{rows}"
    );
    for command in rows[1]["awsCommands"].as_array().context("commands")? {
        testkit::commands::check_line(command.as_str().context("a text")?)?;
    }
    let ran = scene.run("report --readers -o markdown").await?.ends(0).says("aws secretsmanager get-resource-policy --region REGION");
    assert!(ran.out.contains("User:jane; "), "{ran:#?}");

    let ran = scene.run("report --readers -o json --as auditor").await?.ends(3).says("you may not list clusterroles");
    let rows = ran.json();
    assert_eq!(rows[0]["readers"].as_array().map(Vec::len), Some(1), "{rows}");
    assert!(rows[0]["readers"][0].as_str().is_some_and(|reader| reader.starts_with("unknown: you may not list ")), "{rows}");
    assert_eq!(rows[0]["owner"], "unknown: you may not get namespaces", "{rows}");
    // The owner decides about the exit code, not whom to call.
    scene.run("report -o json --as auditor").await?.ends(3).says("owners that only a Namespace names are unknown");
    for name in ["db", "api"] {
        scene.world.patch(name, json!({"metadata": {"labels": {"team": "shop"}}})).await?;
    }
    let ran = scene.run("report -o json --as auditor").await?.ends(0).says("contacts and classifications that only a Namespace names");
    let rows = ran.json();
    assert_eq!((&rows[0]["owner"], &rows[0]["contact"]), (&json!("shop"), &json!("unknown: you may not get namespaces")), "{rows}");
    scene.run("report --as joe").await?.ends(3).in_one_sentence().says("you may not list RotatedSecrets");
    Ok(())
}

/// A kubeconfig with two contexts for this cluster and one for a cluster that is away.
fn contexts(scene: &Scene, dir: &std::path::Path) -> Result<PathBuf> {
    let mut config: Value = serde_saphyr::from_str(&std::fs::read_to_string(scene.kubeconfig())?)?;
    let here = config["contexts"][0]["context"].clone();
    let clusters = config["clusters"].as_array_mut().context("clusters")?;
    clusters.push(json!({"name": "away", "cluster": {"server": "http://127.0.0.1:1"}}));
    let away = json!({"cluster": "away", "user": here["user"]});
    config["contexts"] = json!([{"name": "eu", "context": here}, {"name": "us", "context": here}, {"name": "away", "context": away}]);
    config["current-context"] = json!("eu");
    let path = dir.join("contexts");
    std::fs::write(&path, config.to_string())?;
    Ok(path)
}

#[tokio::test(flavor = "multi_thread")]
async fn several_clusters_are_one_report_and_one_that_is_away_is_named() -> Result<()> {
    let scene = Scene::new("clusters").await?;
    scene.settled("db", spec()).await?;
    let dir = tempfile::tempdir()?;
    let with = format!("--kubeconfig {}", contexts(&scene, dir.path())?.display());
    let rows = |ran: &crate::scene::Ran| -> Vec<String> {
        ran.out.split("\r\n").skip(1).filter_map(|line| line.split(',').next()).filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    assert_eq!(rows(&scene.run(&format!("report {with}")).await?.ends(0)), ["eu"]);
    assert_eq!(rows(&scene.run(&format!("report {with} --context us --context eu --context us")).await?.ends(0)), ["us", "eu"]);
    let ran = scene.run(&format!("report {with} --context away --context eu")).await?.ends(3).in_one_sentence();
    assert!(ran.err.starts_with("error: away: the API server does not respond"), "{ran:#?}");
    assert_eq!(rows(&ran), ["eu"]);
    let ran = scene.run(&format!("report {with} --context nowhere --context away")).await?.ends(3);
    assert!(ran.out.is_empty() && ran.err.lines().count() == 2, "{ran:#?}");
    scene
        .run(&format!("report {with} --context eu --context us --cluster away"))
        .await?
        .ends(2)
        .in_one_sentence()
        .says("--cluster is for one");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_without_an_object_are_found_in_the_list_of_aws() -> Result<()> {
    let scene = Scene::new("orphans").await?;
    scene.settled("db", spec()).await?;
    let secret = scene.world.aws_secret("db").context("a secret")?;
    let listed = |name: &str, change: &[(&str, &str)]| {
        let mut tags = secret.tags.clone();
        tags.extend(change.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let tags: Vec<Value> = tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
        json!({"ARN": secret.arn.replace("/db-", &format!("/{name}-")), "Name": name, "Tags": tags})
    };
    let list = json!({"SecretList": [
        listed("db", &[]),
        listed("old", &[("rotated-secrets.io/name", "old"), ("rotated-secrets.io/uid", "another"), ("team", "payments")]),
        listed(
            "theirs",
            &[("rotated-secrets.io/name", "theirs"), ("rotated-secrets.io/uid", "elsewhere"), ("rotated-secrets.io/cluster", "another")],
        ),
    ]});
    let dir = tempfile::tempdir()?;
    let [file, intact, empty, part] = ["secrets", "intact", "empty", "part"].map(|name| dir.path().join(format!("{name}.json")));
    std::fs::write(&file, list.to_string())?;
    std::fs::write(&intact, json!({"SecretList": [listed("db", &[])]}).to_string())?;
    std::fs::write(&empty, "")?;
    std::fs::write(&part, json!({"SecretList": [listed("db", &[])], "NextToken": "more"}).to_string())?;
    let ran =
        scene.run(&format!("report -o json --orphans {}", file.display())).await?.ends(1).says("1 of the 3 secrets were not compared");
    let orphans = ran.json();
    assert_eq!(orphans.as_array().map(Vec::len), Some(1), "{orphans}");
    let found = (&orphans[0]["name"], &orphans[0]["reason"], &orphans[0]["owner"], &orphans[0]["namespace"]);
    assert_eq!(found, (&json!("old"), &json!("ObjectMissing"), &json!("payments"), &json!(scene.world.namespace)), "{orphans}");
    let ran = scene.run(&format!("report --orphans {}", intact.display())).await?.ends(0);
    assert!(ran.out.starts_with("cluster,namespace,name,owner,reason,") && ran.out.lines().count() == 1, "{ran:#?}");
    scene
        .run(&format!("report --orphans {} --cluster-id nowhere", file.display()))
        .await?
        .ends(3)
        .says("3 of the 3 secrets")
        .says("none of the secrets");
    let ran = scene.run(&format!("report --orphans {}", part.display())).await?.ends(3).in_one_sentence();
    ran.says("part.json does not have all secrets");
    scene.run(&format!("report --orphans {} --orphans {}", part.display(), intact.display())).await?.ends(0);
    let ran = scene.run(&format!("report --orphans {}", empty.display())).await?.ends(2).in_one_sentence();
    ran.says("aws secretsmanager list-secrets --region REGION --filters Key=tag-key,Values=rotated-secrets.io/cluster");
    Ok(())
}
