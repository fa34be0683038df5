//! Everything that the definition rejects at admission is also rejected by the operator, with a message that names the
//! field: an object may have been stored under an older definition. The bounds and rules are enumerated from the
//! definition, so that none can be added without both checks.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use jiff::SignedDuration;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::Status;
use rotated_secrets::api::{AwsAdoptionPolicy, RotatedSecret, definition};
use rotated_secrets::desired::{Desired, LambdaRotation, Policy, Rotation};
use rotated_secrets::kubernetes::stored::Stored;
use serde_json::{Value, json};
use testkit::World;

use crate::admission_objects::{nearly_valid, valid};
use crate::admission_rules::{implied, rows, transitions};
use testkit::control_plane;

/// Keywords that reject a value.
const BOUNDS: [&str; 13] = [
    "enum",
    "format",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "pattern",
    "required",
    "x-kubernetes-list-type",
];
/// Keywords that reject nothing, or are looked at elsewhere in this file. The type is checked when an object is decoded.
const OTHERS: [&str; 8] = [
    "additionalProperties",
    "default",
    "description",
    "items",
    "properties",
    "type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-validations",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_rule_of_the_definition_has_an_object_that_api_server_and_operator_reject() -> Result<()> {
    let stage = Stage::new("rules").await?;
    let mut covered = BTreeSet::new();
    let rows = rows().into_iter().map(|row| (row, 1)).chain(implied().into_iter().map(|row| (row, 2)));
    for ((name, spec, words), count) in rows {
        let causes = stage.refused(&name, &spec).await?;
        assert_eq!(causes.len(), count, "{spec}: {causes:?}");
        let refusal = rejected_by_operator(&name, &spec).with_context(|| format!("the operator takes {spec}, against: {causes:?}"))?;
        assert!(refusal.contains(words), "{spec}: {refusal}");
        covered.extend(causes.iter().map(|(field, message)| (schema_path(field), message.clone())));
    }
    for (before, after) in transitions() {
        let (field, message) = stage.refused_change(&before, &after).await?;
        covered.insert((schema_path(&field), message));
    }
    let mut declared = BTreeSet::new();
    for_each(&schema()?, "", &mut |path, keyword, rules| {
        if keyword == "x-kubernetes-validations" {
            let messages = rules.as_array().into_iter().flatten().filter_map(|rule| rule["message"].as_str());
            declared.extend(messages.map(|message| (path.trim_start_matches('.').to_owned(), message.to_owned())));
        }
    });
    let missing: Vec<_> = declared.difference(&covered).collect();
    assert!(missing.is_empty(), "rules without a row in tests/it/admission_rules.rs: {missing:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bound_of_the_definition_is_checked_by_api_server_and_operator() -> Result<()> {
    let stage = Stage::new("bounds").await?;
    let mut bounds = Vec::new();
    let mut unknown = BTreeSet::new();
    for_each(&schema()?["properties"]["spec"], "", &mut |path, keyword, bound| {
        if BOUNDS.contains(&keyword) {
            bounds.push((path.to_owned(), keyword.to_owned(), bound.clone()));
        } else if !OTHERS.contains(&keyword) {
            unknown.insert(keyword.to_owned());
        }
    });
    assert!(unknown.is_empty(), "keywords that src/desired/schema.rs may not check: {unknown:?}");
    assert!(bounds.len() > 100);
    for (path, keyword, bound) in bounds {
        for spec in violating(&path, &keyword, &bound)? {
            let causes = stage.refused("bounded", &spec).await.with_context(|| format!("{keyword} of {path}"))?;
            assert!(!causes.is_empty(), "{keyword} of {path}: {spec}");
            let refusal =
                rejected_by_operator("bounded", &spec).with_context(|| format!("{keyword} of {path}: the operator takes {spec}"))?;
            // The field, or the list whose entry it belongs to.
            let mut fields = path.split(['.', '[']).filter(|part| !part.is_empty() && *part != "]").rev().take(2);
            assert!(fields.any(|field| refusal.contains(field)) || refusal.contains("does not know"), "{keyword} of {path}: {refusal}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_objects_that_the_bounds_are_tried_with_are_valid() -> Result<()> {
    let stage = Stage::new("valid").await?;
    for spec in valid() {
        stage.created("valid", &spec).await.with_context(|| spec.to_string())?;
        let refusal = rejected_by_operator("valid", &spec);
        assert!(refusal.is_err(), "{spec}: {refusal:?}");
    }
    Ok(())
}

/// Specs that violate the bound, and no other one.
fn violating(path: &str, keyword: &str, bound: &Value) -> Result<Vec<Value>> {
    let sample = valid().into_iter().chain(nearly_valid()).find_map(|spec| {
        let place = place(&spec, path)?;
        Some((spec, place))
    });
    let (spec, place) = sample.with_context(|| format!("no sample has {path}: add it to admission_objects::valid()"))?;
    let value = spec.pointer(&place).context("found")?.clone();
    Ok(wrong(&value, keyword, bound)?
        .into_iter()
        .map(|wrong| {
            let mut spec = spec.clone();
            if let Some(value) = spec.pointer_mut(&place) {
                *value = wrong;
            }
            spec
        })
        .collect())
}

fn wrong(value: &Value, keyword: &str, bound: &Value) -> Result<Vec<Value>> {
    let count = bound.as_f64().and_then(|number| format!("{number:.0}").parse::<i64>().ok());
    let count = || count.context("a number");
    let size = || Ok::<_, anyhow::Error>(usize::try_from(count()?)?);
    let text = value.as_str().unwrap_or_default();
    let last = text.chars().last().unwrap_or('a').to_string();
    Ok(vec![match keyword {
        "required" => return Ok(without_each(value, bound)),
        "enum" => json!("Unsupported"),
        "format" if bound == "date" => json!("2026-02-30"),
        // Numbers; the least and the greatest are bounds too.
        "format" => return Ok(Vec::new()),
        "pattern" => json!("!"),
        "maximum" => json!(count()? + 1),
        "minimum" => json!(count()? - 1),
        "maxLength" => json!(format!("{text}{}", last.repeat(size()?.saturating_sub(text.len()) + 1))),
        "minLength" => json!(text.chars().take(size()?.saturating_sub(1)).collect::<String>()),
        "minItems" => json!([]),
        "minProperties" => json!({}),
        "maxItems" => (0..=size()?).map(|number| another(&value[0], number)).collect(),
        "maxProperties" => {
            let entry = value.as_object().and_then(|fields| fields.values().next()).context("an entry")?;
            (0..=size()?).map(|number| (format!("k{number}"), entry.clone())).collect::<serde_json::Map<_, _>>().into()
        }
        "x-kubernetes-list-type" => json!([value[0], value[0]]),
        other => anyhow::bail!("no object violates {other}"),
    }])
}

fn without_each(value: &Value, required: &Value) -> Vec<Value> {
    let names = required.as_array().into_iter().flatten().filter_map(Value::as_str);
    names
        .map(|name| {
            let mut value = value.clone();
            value.as_object_mut().map(|fields| fields.remove(name));
            value
        })
        .collect()
}

/// An entry of a list that differs from the others, where they must differ.
fn another(entry: &Value, number: usize) -> Value {
    let mut entry = entry.clone();
    if let Some(region) = entry.get_mut("region") {
        *region = json!(format!("eu-west-{}", number + 1));
    } else if let Some(text) = entry.as_str() {
        entry = json!(format!("{text}{number}"));
    }
    entry
}

/// The JSON pointer of the first value at `path` in this spec.
fn place(spec: &Value, path: &str) -> Option<String> {
    fn descend(value: &Value, parts: &[&str], pointer: String) -> Option<String> {
        let Some((first, rest)) = parts.split_first() else { return Some(pointer) };
        match value {
            _ if first.is_empty() => descend(value, rest, pointer),
            Value::Object(fields) if *first == "[]" => {
                fields.iter().find_map(|(name, below)| descend(below, rest, format!("{pointer}/{name}")))
            }
            Value::Array(items) if *first == "[]" => descend(items.first()?, rest, format!("{pointer}/0")),
            _ => descend(value.get(first)?, rest, format!("{pointer}/{first}")),
        }
    }
    let path = path.replace("[]", ".[]");
    descend(spec, &path.split('.').collect::<Vec<_>>(), String::new())
}

/// The message with which the operator rejects the object, or an error if it does not.
fn rejected_by_operator(name: &str, spec: &Value) -> Result<String> {
    let object = json!({
        "apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret",
        "metadata": {"name": name, "namespace": "shop", "uid": "0b7a4c52-57c5-4e0c-9e6f-9d2f7f1c2a11"}, "spec": spec,
    });
    let object = match Stored::strict(&object.to_string()) {
        Stored::Unreadable(unreadable) => return Ok(unreadable.defect.to_string()),
        Stored::Readable(object) => object,
    };
    let want = match Desired::parse(&object, &policy()) {
        Err(refusal) => return Ok(refusal.message),
        Ok(want) => want,
    };
    let rotation = match want.rotation {
        Rotation::Refused(refusal) | Rotation::Lambda(LambdaRotation { config: Err(refusal), .. }) => Some(refusal),
        _ => None,
    };
    let refusal = want.settings.rejected().cloned().or(rotation).context("it is taken")?;
    Ok(refusal.message)
}

/// An administrator who allows everything.
fn policy() -> Policy {
    Policy {
        local_targets: false,
        default_region: testkit::REGION.to_owned(),
        allowed_regions: Vec::new(),
        name_prefix: "k8s".to_owned(),
        cluster: "test".to_owned(),
        minimum_interval: SignedDuration::ZERO,
        request_interval: SignedDuration::ZERO,
        service_accounts: true,
        rotation_jobs: true,
        allowed_kms_keys: Vec::new(),
        allow_resource_policies: true,
        default_tags: std::collections::BTreeMap::new(),
        allow_public_policies: true,
        max_adoption: AwsAdoptionPolicy::Always,
    }
}

fn schema() -> Result<Value> {
    let mut definition = serde_json::to_value(definition().context("the definition")?)?;
    Ok(definition.pointer_mut("/spec/versions/0/schema/openAPIV3Schema").context("the schema")?.take())
}

/// Every keyword in the schema, with the path of its node: `.spec.aws.tags[]`.
fn for_each(node: &Value, path: &str, see: &mut dyn FnMut(&str, &str, &Value)) {
    for (keyword, bound) in node.as_object().into_iter().flatten() {
        see(path, keyword, bound);
    }
    for (name, below) in node["properties"].as_object().into_iter().flatten().filter(|(name, _)| *name != "status") {
        for_each(below, &format!("{path}.{name}"), see);
    }
    for below in ["items", "additionalProperties"].into_iter().filter_map(|keyword| node.get(keyword)).filter(|below| below.is_object()) {
        for_each(below, &format!("{path}[]"), see);
    }
}

/// The path in the schema of a field of one object: `spec.value.generate[]`.
fn schema_path(field: &str) -> String {
    let parts = field.split('[').map(|part| part.split_once(']').map_or(part.to_owned(), |(_, rest)| format!("[]{rest}")));
    let path: String = parts.collect();
    if path == "<nil>" { String::new() } else { path }
}

/// A namespace in which objects are tried.
struct Stage {
    world: World,
    api: Api<DynamicObject>,
}

impl Stage {
    async fn new(name: &str) -> Result<Self> {
        let cluster = control_plane().await?;
        let world = World::new(&cluster.namespace(name).await?).await?;
        let api = Api::namespaced_with(world.admin.clone(), &world.namespace, &ApiResource::erase::<RotatedSecret>(&()));
        Ok(Self { world, api })
    }

    async fn created(&self, name: &str, spec: &Value) -> std::result::Result<DynamicObject, kube::Error> {
        let object = json!({
            "apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret", "metadata": {"name": name}, "spec": spec,
        });
        let object: DynamicObject = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
        self.api.create(&PostParams { dry_run: true, ..PostParams::default() }, &object).await
    }

    /// Field and message of each violation that the API server reports.
    async fn refused(&self, name: &str, spec: &Value) -> Result<Vec<(String, String)>> {
        match self.created(name, spec).await {
            Ok(_) => anyhow::bail!("the API server takes {spec}"),
            Err(error) => causes(error),
        }
    }

    /// The same for a change of a stored object.
    async fn refused_change(&self, before: &Value, after: &Value) -> Result<(String, String)> {
        let name = format!("changed-{}", rotated_secrets::value::short_hash(before.to_string().as_bytes()));
        self.world.create(&name, before.clone()).await?;
        let change = json!({"spec": after});
        match self.api.patch(&name, &PatchParams::default().dry_run(), &Patch::Merge(&change)).await {
            Ok(_) => anyhow::bail!("the API server takes the change {change}"),
            Err(error) => causes(error)?.pop().context("no cause"),
        }
    }
}

fn causes(error: kube::Error) -> Result<Vec<(String, String)>> {
    let status: Status = match error {
        kube::Error::Api(status) if status.code == 422 => *status,
        other => return Err(other.into()),
    };
    let causes = status.details.map(|details| details.causes).unwrap_or_default();
    // "some validation rules were not checked because the object was invalid" is about the rules, not about the object.
    let causes = causes.into_iter().filter(|cause| !cause.message.contains("were not checked"));
    Ok(causes.map(|cause| (cause.field, cause.message.split_once(": ").map_or(cause.message.clone(), |(_, rest)| message(rest)))).collect())
}

/// Without the value that the API server quotes before the message of a rule.
fn message(rest: &str) -> String {
    match rest.strip_prefix('"').and_then(|quoted| quoted.split_once("\": ")) {
        Some((_, message)) => message.to_owned(),
        None => rest.split_once(": ").filter(|(value, _)| value.parse::<f64>().is_ok()).map_or(rest, |(_, message)| message).to_owned(),
    }
}
