//! The IAM documents in docs/iam: the operator runs under exactly them, and every action that one allows is needed by some call.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use rotated_secrets::api::{EXTERNAL_ID, ROLE_ARN};
use rotated_secrets::feed::LAG;
use serde_json::{Value, json};
use testkit::emulator::function::KeepUsername;

use super::stage::{HOUR, Stage};
use testkit::{PREFIX, REGION, fixtures::spec};

mod keys;

const ACCOUNT: &str = "123456789012";
const OPERATOR: &str = "arn:aws:iam::123456789012:user/operator";
const ID: &str = "an-external-id";
/// Where replicas are.
const THERE: &str = "eu-west-1";

/// What the operator is given beyond its base, and the story that needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Nothing: what every operator has.
    Operator,
    /// Customer-managed keys.
    Kms,
    /// Secrets of others that are only mirrored.
    Mirror,
    /// Replicas in other regions.
    Replicas,
    /// Policies on the secrets.
    ResourcePolicies,
    /// Secrets that others made and offer.
    Adoption,
    /// Rotation by AWS with a function.
    Rotation,
    /// Lists of what changed.
    ChangeFeed,
    /// Events of what changed.
    EventQueue,
}

impl Part {
    /// One for each document that ends in `-policy.json`; those of namespaces, people and trust have tests of their own below.
    const ALL: [Self; 9] = [
        Self::Operator,
        Self::Kms,
        Self::Mirror,
        Self::Replicas,
        Self::ResourcePolicies,
        Self::Adoption,
        Self::Rotation,
        Self::ChangeFeed,
        Self::EventQueue,
    ];

    fn document(self) -> &'static str {
        match self {
            Self::Operator => "operator-policy",
            Self::Kms => "kms-policy",
            Self::Mirror => "mirror-policy",
            Self::Replicas => "replicas-policy",
            Self::ResourcePolicies => "resource-policies-policy",
            Self::Adoption => "adoption-policy",
            Self::Rotation => "rotation-policy",
            Self::ChangeFeed => "change-feed-policy",
            Self::EventQueue => "event-queue-policy",
        }
    }

    async fn story(self, stage: &Stage) -> Result<()> {
        match self {
            Self::Operator => live_and_die(stage).await,
            Self::Kms => change_keys(stage).await,
            Self::Mirror => mirror(stage).await,
            Self::Replicas => replicate(stage).await,
            Self::ResourcePolicies => set_policies(stage).await,
            Self::Adoption => adopt(stage).await,
            Self::Rotation => rotate_by_aws(stage).await,
            Self::ChangeFeed => list_changes(stage).await,
            Self::EventQueue => receive_events(stage).await,
        }
    }
}

/// A document of docs/iam with its words in capitals filled in.
fn document(name: &str, further: &[(&str, &str)]) -> Result<Value> {
    let path = format!("{}/docs/iam/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let mut text = std::fs::read_to_string(&path).with_context(|| format!("no {path}"))?;
    let own = [
        ("REPLICA_REGION", THERE),
        ("REGION", REGION),
        ("ACCOUNT_ID", ACCOUNT),
        ("CLUSTER", "test"),
        ("KMS_KEY", "shop"),
        ("FUNCTION", "rotate-*"),
        ("PREFIX", PREFIX),
        ("QUEUE", "changes"),
    ];
    for (word, value) in further.iter().chain(&own) {
        text = text.replace(word, value);
    }
    let left = text.split(|c: char| !c.is_ascii_uppercase() && c != '_').find(|word| word.len() > 3);
    ensure!(left.is_none(), "{name}: {left:?} is not filled in");
    Ok(serde_json::from_str(&text)?)
}

/// An operator with these documents and nothing else.
async fn operator_with(prefix: &str, names: &[&str]) -> Result<Stage> {
    let mut stage = Stage::new(prefix).await?;
    let mut documents: Vec<(&str, Value)> = names.iter().map(|name| Ok((*name, document(name, &[])?))).collect::<Result<_>>()?;
    if names.contains(&"replicas-policy") {
        // A key of another region has a document of its own.
        documents.push(("keys-there", document("kms-policy", &[("REGION", THERE)])?));
    }
    let policies: Vec<(&str, &Value)> = documents.iter().map(|(name, document)| (*name, document)).collect();
    let key = stage.iam().user("operator", &policies)?;
    stage.act_with(Some(&key)).await;
    Ok(stage)
}

/// Everything was allowed, and every action of `document` was needed: some call was allowed by its statement alone.
fn check_exact(stage: &Stage, arn: &str, document: &str) -> Result<()> {
    let decisions = stage.iam().decisions();
    let refused: Vec<_> = decisions.iter().filter(|decision| !decision.is_allowed()).collect();
    ensure!(refused.is_empty(), "{document} is too narrow: {refused:?}");
    let needed: BTreeSet<(String, String)> = decisions
        .into_iter()
        .filter(|decision| decision.principal == arn)
        .filter_map(|decision| match decision.allowed_by.as_slice() {
            [alone] => Some((alone.clone(), decision.action)),
            _ => None,
        })
        .collect();
    let granted: BTreeSet<(String, String)> =
        stage.iam().grants(arn).into_iter().filter(|(statement, _)| statement.starts_with(&format!("{document}/"))).collect();
    let unused: Vec<_> = granted.difference(&needed).collect();
    ensure!(unused.is_empty() && !granted.is_empty(), "{document} is too wide: {unused:?}");
    Ok(())
}

async fn live_and_die(stage: &Stage) -> Result<()> {
    let mut whole = spec();
    whole["aws"] = json!({"deletionPolicy": "Delete", "description": "one"});
    stage.settled("app", whole).await?;
    stage.advance(HOUR);
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    for edit in [json!({"description": "another", "tags": {"team": "shop"}}), json!({"tags": {"team": null}})] {
        stage.world.patch("app", json!({"spec": {"aws": edit}})).await?;
        stage.settle("app").await?;
    }
    stage.external_writer().delete(&stage.aws_name("app"), 7)?;
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    // An external value.
    stage.advance(HOUR / 2);
    stage.external_writer().put_value(&stage.aws_name("app"), r#"{"username":"admin","password":"theirs"}"#)?;
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    stage.world.patch("app", json!({"spec": {"aws": {"keepVersions": 0}}})).await?;
    stage.settle("app").await?;
    stage.delete_object("app").await?;
    stage.settle("app").await?;
    ensure!(stage.world.aws_secret("app").is_some_and(|aws| aws.deletion_date.is_some()), "it is scheduled for deletion");
    Ok(())
}

async fn change_keys(stage: &Stage) -> Result<()> {
    let mut keyed = spec();
    keyed["aws"] = json!({"kmsKeyId": "alias/shop"});
    stage.settled("app", keyed).await?;
    stage.advance(HOUR);
    stage.settle("app").await?;
    stage.settled("plain", spec()).await?;
    stage.world.patch("plain", json!({"spec": {"aws": {"kmsKeyId": "alias/shop"}}})).await?;
    stage.settle("plain").await?;
    for name in ["app", "plain"] {
        stage.world.check_agreement(name).await?;
        ensure!(stage.world.aws_secret(name).and_then(|aws| aws.kms_key).as_deref() == Some("alias/shop"), "{name}: as declared");
    }
    Ok(())
}

async fn mirror(stage: &Stage) -> Result<()> {
    stage.external_writer().create("shared/key", r#"{"token":"theirs-and-long"}"#, &std::collections::BTreeMap::new())?;
    stage.allow_names(Some("shared/*")).await?;
    stage.settled("key", json!({"aws": {"secretName": "shared/key"}})).await?;
    stage.expect("key", "Ready", "True", "Succeeded").await.map(drop)
}

async fn replicate(stage: &Stage) -> Result<()> {
    stage.settled("app", spec()).await?;
    for replicas in [json!([{"region": THERE}]), json!([{"region": THERE, "kmsKeyId": "alias/shop"}]), json!([])] {
        stage.world.patch("app", json!({"spec": {"aws": {"replicaRegions": replicas}}})).await?;
        stage.settle("app").await?;
        stage.world.check_agreement("app").await?;
    }
    Ok(())
}

async fn set_policies(stage: &Stage) -> Result<()> {
    let policy = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": ["secretsmanager:GetSecretValue"], "Resource": ["*"],
        "Principal": {"AWS": ["arn:aws:iam::210987654321:root"]},
    }]});
    stage.settled("app", spec()).await?;
    for policy in [policy, json!({})] {
        stage.world.patch("app", json!({"spec": {"aws": {"resourcePolicy": policy}}})).await?;
        stage.settle("app").await?;
        stage.world.check_agreement("app").await?;
    }
    stage.world.patch("app", json!({"spec": {"aws": {"resourcePolicy": null}}})).await?;
    stage.settle("app").await
}

async fn adopt(stage: &Stage) -> Result<()> {
    let by = format!("{}/app", stage.world.namespace);
    let tags = std::collections::BTreeMap::from([("rotated-secrets.io/adopt-by".to_owned(), by)]);
    stage.external_writer().create(&stage.aws_name("app"), r#"{"username":"admin","password":"theirs-and-long"}"#, &tags)?;
    let mut adopting = spec();
    adopting["aws"] = json!({"adoptionPolicy": "IfTagged"});
    stage.settled("app", adopting).await?;
    stage.world.check_agreement("app").await
}

async fn list_changes(stage: &Stage) -> Result<()> {
    let listed = stage.ctx.aws.operator().changed_since(REGION, None, LAG).await;
    ensure!(listed.map_err(|failure| anyhow::anyhow!("{}", failure.message))?.is_some(), "the list is complete");
    Ok(())
}

async fn receive_events(stage: &Stage) -> Result<()> {
    let events = stage.world.emulator.create_event_queue("changes", &["AWSCURRENT"]);
    stage.external_writer().create("desk/changed", "one", &std::collections::BTreeMap::new())?;
    let queue = stage.ctx.aws.queue(&events.url());
    let failed = |failure: rotated_secrets::failure::Failure| anyhow::anyhow!("{}", failure.message);
    let messages = queue.receive().await.map_err(failed)?;
    queue.delete(&messages).await.map_err(failed)?;
    ensure!(messages.len() == 1 && events.bodies().is_empty(), "one event came and is deleted");
    Ok(())
}

async fn rotate_by_aws(stage: &Stage) -> Result<()> {
    let function = format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:rotate-shop");
    stage.world.emulator.set_rotation_function(&function, Some(KeepUsername::new()));
    stage.world.allow_functions(&function).await?;
    let mut lambda_rotation = spec();
    lambda_rotation["rotation"] = json!({"schedule": "rate(1 day)", "lambda": {"functionArn": function}});
    stage.settled("app", lambda_rotation).await?;
    stage.world.request_rotation("app", "now").await?;
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    ensure!(stage.versions("app") == 2, "AWS rotated once");
    stage.world.patch("app", json!({"spec": {"rotation": null}})).await?;
    stage.settle("app").await?;
    stage.world.check_agreement("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_lives_under_exactly_the_documents_and_needs_every_action_in_them() -> Result<()> {
    for part in Part::ALL {
        let names = if part == Part::Operator { vec!["operator-policy"] } else { vec!["operator-policy", part.document()] };
        let stage = operator_with("iam", &names).await?;
        part.story(&stage).await.with_context(|| format!("{part:?}"))?;
        check_exact(&stage, OPERATOR, part.document())?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_for_a_namespace_needs_every_action_of_its_document_and_the_operator_only_the_assuming() -> Result<()> {
    let stage = operator_with("iam", &["assume-policy"]).await?;
    let namespace = stage.world.namespace.clone();
    let words = [("NAMESPACE", namespace.as_str()), ("OPERATOR_ROLE", OPERATOR), ("EXTERNAL_ID", ID)];
    let (trust, policy) = (document("namespace-trust", &words)?, document("namespace-policy", &words)?);
    let role = stage.iam().role("rotated-secrets/shop", &trust, &[("namespace-policy", &policy)])?;
    stage.annotate_namespace(json!({ROLE_ARN: role, EXTERNAL_ID: ID})).await?;
    live_and_die(&stage).await?;
    check_exact(&stage, &role, "namespace-policy")?;
    check_exact(&stage, OPERATOR, "assume-policy")
}

/// A call of the operator's own principal, as a broken or taken-over operator would make it.
async fn call(stage: &Stage, operation: &str, body: Value) -> Result<String> {
    let client = stage.client().await;
    let id = body["id"].as_str().unwrap_or_default().to_owned();
    let answer = match operation {
        "describe" => client.describe_secret().secret_id(id).send().await.map(drop).map_err(|error| code(&error)),
        "read" => client.get_secret_value().secret_id(id).send().await.map(drop).map_err(|error| code(&error)),
        "put" => client.put_secret_value().secret_id(id).secret_string("x").send().await.map(drop).map_err(|error| code(&error)),
        "delete" => client.delete_secret().secret_id(id).recovery_window_in_days(7).send().await.map(drop).map_err(|error| code(&error)),
        "force" => {
            client.delete_secret().secret_id(id).force_delete_without_recovery(true).send().await.map(drop).map_err(|error| code(&error))
        }
        "untag" => {
            let key = body["key"].as_str().unwrap_or("rotated-secrets.io/uid");
            client.untag_resource().secret_id(id).tag_keys(key).send().await.map(drop).map_err(|error| code(&error))
        }
        "tag" => {
            let tag = |(key, value): (&String, &Value)| {
                aws_sdk_secretsmanager::types::Tag::builder().key(key).value(value.as_str().unwrap_or_default()).build()
            };
            let tags = body["tags"].as_object().context("tags")?.iter().map(tag).collect();
            client.tag_resource().secret_id(id).set_tags(Some(tags)).send().await.map(drop).map_err(|error| code(&error))
        }
        "create" => client.create_secret().name(id).secret_string("x").send().await.map(drop).map_err(|error| code(&error)),
        "list" => client.list_secrets().send().await.map(drop).map_err(|error| code(&error)),
        _ => anyhow::bail!("{operation} is not known"),
    };
    Ok(answer.err().unwrap_or_else(|| "ok".to_owned()))
}

fn code<E>(error: &aws_sdk_secretsmanager::error::SdkError<E>) -> String
where
    E: aws_sdk_secretsmanager::error::ProvideErrorMetadata,
{
    aws_sdk_secretsmanager::error::ProvideErrorMetadata::code(error).unwrap_or("none").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn under_the_document_even_a_taken_over_operator_reaches_only_what_it_made() -> Result<()> {
    let stage = operator_with("iam", &["operator-policy"]).await?;
    stage.settled("app", spec()).await?;
    let own = stage.aws_name("app");
    let tags = |cluster: &str| std::collections::BTreeMap::from([("rotated-secrets.io/cluster".to_owned(), cluster.to_owned())]);
    let (other, untagged, outside) = (format!("{PREFIX}/desk/other-cluster"), format!("{PREFIX}/desk/untagged"), "billing/key".to_owned());
    stage.external_writer().create(&other, "theirs", &tags("other"))?;
    stage.external_writer().create(&untagged, "theirs", &tags("x"))?;
    stage.external_writer().untag(&untagged, "rotated-secrets.io/cluster")?;
    stage.external_writer().create(&outside, "theirs", &tags("test"))?;
    let offered = format!("{PREFIX}/desk/offered");
    stage.external_writer().create(&offered, "theirs", &adopt_by("desk/app"))?;
    let before = stage.aws();
    let claim = json!({"rotated-secrets.io/cluster": "test", "rotated-secrets.io/namespace": "desk"});
    for (id, tags) in [
        (&untagged, &claim),
        (&other, &claim),
        (&offered, &claim),
        (&untagged, &json!({"team": "shop"})),
        (&outside, &claim),
        // The owner of an own secret stays, and no secret is offered.
        (&own, &json!({"rotated-secrets.io/cluster": "other"})),
        (&own, &json!({"rotated-secrets.io/cluster": "test", "rotated-secrets.io/namespace": "desk"})),
        (&own, &json!({"rotated-secrets.io/adopt-by": "desk/app"})),
        (&other, &json!({"rotated-secrets.io/adopt-by": "desk/app"})),
        (&offered, &json!({"rotated-secrets.io/adopt-by": "desk/other"})),
    ] {
        assert_eq!(call(&stage, "tag", json!({"id": id, "tags": tags})).await?, "AccessDeniedException", "tag {id} {tags}");
    }
    for (operation, id, expected) in [
        ("read", &own, "ok"),
        ("force", &own, "AccessDeniedException"),
        ("untag", &own, "AccessDeniedException"),
        ("describe", &other, "ok"),
        ("read", &other, "AccessDeniedException"),
        ("put", &other, "AccessDeniedException"),
        ("delete", &other, "AccessDeniedException"),
        ("read", &untagged, "AccessDeniedException"),
        ("put", &untagged, "AccessDeniedException"),
        ("delete", &untagged, "AccessDeniedException"),
        ("describe", &outside, "AccessDeniedException"),
        ("read", &outside, "AccessDeniedException"),
        ("create", &format!("{PREFIX}/desk/without-tags"), "AccessDeniedException"),
        ("create", &"billing/new".to_owned(), "AccessDeniedException"),
        ("list", &own, "AccessDeniedException"),
    ] {
        assert_eq!(call(&stage, operation, json!({"id": id})).await?, expected, "{operation} {id}");
    }
    assert_eq!(stage.aws(), before, "nothing changed");
    Ok(())
}

fn adopt_by(object: &str) -> std::collections::BTreeMap<String, String> {
    std::collections::BTreeMap::from([("rotated-secrets.io/adopt-by".to_owned(), object.to_owned())])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_for_adoption_reaches_what_is_offered_and_the_one_for_policies_never_makes_a_secret_public() -> Result<()> {
    let stage = operator_with("iam", &["operator-policy", "adoption-policy", "resource-policies-policy"]).await?;
    stage.settled("app", spec()).await?;
    let (untagged, offered) = (format!("{PREFIX}/desk/untagged"), format!("{PREFIX}/desk/offered"));
    stage.external_writer().create(&untagged, "theirs", &std::collections::BTreeMap::new())?;
    stage.external_writer().create(&offered, "theirs", &adopt_by("desk/app"))?;
    let claim = json!({"rotated-secrets.io/cluster": "test", "rotated-secrets.io/namespace": "desk"});
    for (id, tags, expected) in [
        (&untagged, &claim, "AccessDeniedException"),
        (&offered, &json!({"team": "shop"}), "AccessDeniedException"),
        (&offered, &json!({"rotated-secrets.io/cluster": "other"}), "AccessDeniedException"),
        (&offered, &claim, "ok"),
    ] {
        assert_eq!(call(&stage, "tag", json!({"id": id, "tags": tags})).await?, expected, "{id} {tags}");
    }
    let client = stage.client().await;
    for (block, expected) in [(Some(false), "AccessDeniedException"), (None, "AccessDeniedException"), (Some(true), "ok")] {
        let policy = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*", "Principal": {"AWS": format!("arn:aws:iam::{ACCOUNT}:root")},
        }]});
        let request = client.put_resource_policy().secret_id(stage.aws_name("app")).resource_policy(policy.to_string());
        let answer = request.set_block_public_policy(block).send().await.map(drop).map_err(|error| code(&error));
        assert_eq!(answer.err().unwrap_or_else(|| "ok".to_owned()), expected, "{block:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn under_the_organizations_guard_only_the_operator_plants_ownership_tags_and_names_below_the_prefix() -> Result<()> {
    let words = [("OPERATOR_ROLE", OPERATOR), ("ADMIN_ROLE", "arn:aws:iam::*:user/admin")];
    let all = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
    let guard = document("guard-scp", &words)?;
    for (user, denied) in [("developer", true), ("operator", false), ("admin", false)] {
        let mut stage = Stage::new("iam").await?;
        let (below, outside) = (format!("{PREFIX}/desk/app"), "billing/key".to_owned());
        for name in [&below, &outside] {
            stage.external_writer().create(name, "theirs", &adopt_by("desk/app"))?;
        }
        let key = stage.iam().user(user, &[("all", &all), ("guard-scp", &guard)])?;
        stage.act_with(Some(&key)).await;
        let expected = if denied { "AccessDeniedException" } else { "ok" };
        let owner = json!({"rotated-secrets.io/uid": "planted"});
        for id in [&below, &outside] {
            assert_eq!(call(&stage, "tag", json!({"id": id, "tags": owner})).await?, expected, "{user} {id}");
        }
        assert_eq!(call(&stage, "tag", json!({"id": below, "tags": {"team": "x"}})).await?, expected, "{user}");
        assert_eq!(call(&stage, "create", json!({"id": format!("{PREFIX}/desk/planted")})).await?, expected, "{user}");
        assert_eq!(call(&stage, "untag", json!({"id": outside})).await?, expected, "{user}");
        for (operation, body) in [
            ("tag", json!({"id": outside, "tags": {"team": "x"}})),
            ("create", json!({"id": "billing/other"})),
            ("read", json!({"id": below})),
        ] {
            assert_eq!(call(&stage, operation, body).await?, "ok", "{user} {operation}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_secret_half_is_wrong_gets_nothing() -> Result<()> {
    let mut stage = operator_with("iam", &["operator-policy"]).await?;
    let mut key = stage.iam().user("operator", &[("operator-policy", &document("operator-policy", &[])?)])?;
    key.secret = "guessed".to_owned();
    stage.act_with(Some(&key)).await;
    stage.settled("app", spec()).await?;
    let message = stage.expect("app", "Provisioned", "False", "AccessDenied").await?;
    ensure!(message.contains("InvalidSignatureException"), "{message}");
    ensure!(stage.aws().is_empty(), "nothing was made");
    Ok(())
}

#[test]
fn every_document_is_known_to_a_test_and_terraform_reads_the_same_files() -> Result<()> {
    let dir = format!("{}/docs/iam", env!("CARGO_MANIFEST_DIR"));
    let names: BTreeSet<String> =
        std::fs::read_dir(&dir)?.filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".json")?.to_owned())).collect();
    // tests/e2e/identity.rs runs the binary by the last two.
    let further =
        ["guard-scp", "assume-policy", "namespace-policy", "namespace-trust", "plugin-policy", "irsa-trust", "pod-identity-trust"];
    let known: BTreeSet<String> = Part::ALL.into_iter().map(Part::document).chain(further).map(str::to_owned).collect();
    assert_eq!(names, known);
    let terraform: String = ["main.tf", "operator.tf", "namespace.tf", "guard.tf", "event-queue.tf"]
        .iter()
        .map(|file| std::fs::read_to_string(format!("{dir}/{file}")))
        .collect::<Result<_, _>>()?;
    ensure!(!terraform.contains("secretsmanager:") && !terraform.contains("sts:"), "the documents are the JSON files alone");
    for word in [
        "REGION",
        "ACCOUNT_ID",
        "CLUSTER",
        "KMS_KEY",
        "NAMESPACE",
        "SERVICE_ACCOUNT",
        "OIDC_PROVIDER",
        "OPERATOR_ROLE",
        "EXTERNAL_ID",
        "REPLICA_REGION",
        "FUNCTION",
        "PREFIX",
        "QUEUE",
        "ADMIN_ROLE",
    ] {
        ensure!(terraform.contains(&format!("\"{word}\"")), "Terraform fills in {word}");
    }
    Ok(())
}
