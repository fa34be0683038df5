//! IAM ignores the case of tag keys where they are part of a condition key, and compares them in the values of `aws:TagKeys` as the operator says.
//! Tags whose keys differ only in case are different tags in Secrets Manager.

use rotated_secrets::api::{ADOPT_BY, TAG_CLUSTER, TAG_NAME, TAG_NAMESPACE, TAG_NAMESPACE_UID, TAG_ROTATION, TAG_UID};

use super::*;

const DENIED: &str = "AccessDeniedException";

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_over_operator_does_not_consent_to_adoption_by_a_tag_in_another_case() -> Result<()> {
    let stage = operator_with("iam", &["operator-policy", "adoption-policy"]).await?;
    stage.settled("app", spec()).await?;
    let own = stage.aws_name("app");
    let before = stage.aws();
    for key in ["rotated-secrets.io/adopt-by", "Rotated-Secrets.IO/adopt-by", "ROTATED-SECRETS.IO/ADOPT-BY"] {
        assert_eq!(call(&stage, "tag", json!({"id": own, "tags": {key: "desk/app"}})).await?, DENIED, "{key}");
    }
    for key in ["rotated-secrets.io/uid", "Rotated-Secrets.io/uid", "ROTATED-SECRETS.IO/NAMESPACE-UID"] {
        assert_eq!(call(&stage, "untag", json!({"id": own, "key": key})).await?, DENIED, "{key}");
    }
    assert_eq!(stage.aws(), before, "nothing changed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn under_the_organizations_guard_no_developer_plants_an_ownership_tag_in_another_case() -> Result<()> {
    let words = [("OPERATOR_ROLE", OPERATOR), ("ADMIN_ROLE", "arn:aws:iam::*:user/admin")];
    let all = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
    let guard = document("guard-scp", &words)?;
    for (user, expected) in [("developer", DENIED), ("admin", "ok")] {
        let mut stage = Stage::new("iam").await?;
        stage.external_writer().create("billing/key", "theirs", &std::collections::BTreeMap::new())?;
        let key = stage.iam().user(user, &[("all", &all), ("guard-scp", &guard)])?;
        stage.act_with(Some(&key)).await;
        for tag in ["rotated-secrets.io/other", "Rotated-Secrets.io/cluster", "ROTATED-SECRETS.IO/ADOPT-BY"] {
            assert_eq!(call(&stage, "tag", json!({"id": "billing/key", "tags": {tag: "x"}})).await?, expected, "{user} {tag}");
            assert_eq!(call(&stage, "untag", json!({"id": "billing/key", "key": tag})).await?, expected, "{user} {tag}");
        }
    }
    Ok(())
}

/// Of each condition on `aws:TagKeys`, the operator and the values.
fn conditions(document: &Value) -> Vec<(String, BTreeSet<String>)> {
    let statements = document["Statement"].as_array().into_iter().flatten();
    let conditions = statements.filter_map(|statement| statement["Condition"].as_object()).flatten();
    let keys = conditions.filter_map(|(operator, keys)| Some((operator, keys["aws:TagKeys"].as_array()?)));
    keys.map(|(operator, values)| (operator.clone(), values.iter().filter_map(Value::as_str).map(str::to_owned).collect())).collect()
}

#[test]
fn every_document_compares_our_keys_regardless_of_case() -> Result<()> {
    let owner = [TAG_CLUSTER, TAG_NAME, TAG_NAMESPACE, TAG_NAMESPACE_UID, TAG_UID].map(str::to_owned);
    let consent = BTreeSet::from([ADOPT_BY.to_owned()]);
    let all: BTreeSet<String> = owner.iter().cloned().chain([ADOPT_BY.to_owned(), TAG_ROTATION.to_owned()]).collect();
    let mut seen = 0;
    for entry in std::fs::read_dir(format!("{}/docs/iam", env!("CARGO_MANIFEST_DIR")))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let document: Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
        let (exact, patterns): (Vec<_>, Vec<_>) = conditions(&document).into_iter().partition(|(operator, _)| !operator.ends_with("Like"));
        for (operator, values) in &exact {
            ensure!(operator == "ForAnyValue:StringEqualsIgnoreCase", "{}: {operator}", path.display());
            ensure!([&BTreeSet::from(owner.clone()), &consent, &all].contains(&values), "{}: {values:?}", path.display());
        }
        // IAM has no pattern that ignores the case, so all keys are listed too.
        ensure!(patterns.is_empty() || exact.iter().any(|(_, values)| *values == all), "{}", path.display());
        seen += exact.len();
    }
    assert_eq!(seen, 5, "two of the operator, two of namespaces, one of the guard");
    Ok(())
}
