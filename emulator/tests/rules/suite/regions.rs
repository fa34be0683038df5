//! Regions and replication.

use std::time::Duration;

use serde_json::{Value, json};

use super::wire::{Made, Wire, name, text, token};
use super::{Broken, Rule, must, rule, same, timed};

const THERE: &str = "eu-central-1";
const BAD: &[&str] = &["InvalidParameterException", "ValidationException", "InvalidRequestException"];

fn replicated(w: &Wire) -> Result<Made, Broken> {
    let made = w.make()?;
    w.ok("ReplicateSecretToRegions", json!({"SecretId": made.name, "AddReplicaRegions": [{"Region": THERE}]}))?;
    Ok(made)
}

fn status(answer: &Value) -> Vec<(String, String)> {
    let rows = answer["ReplicationStatus"].as_array().cloned().unwrap_or_default();
    rows.iter().map(|row| (text(row, "Region"), text(row, "Status"))).collect()
}

fn in_sync() -> Vec<(String, String)> {
    vec![(THERE.to_owned(), "InSync".to_owned())]
}

pub(crate) const RULES: &[Rule] = &[
    rule("a secret is not seen from another Region", "M endpoints", |w| {
        let made = w.make()?;
        w.in_region(THERE).refused_as("DescribeSecret", json!({"SecretId": made.name}), &["ResourceNotFoundException"]).map(drop)
    }),
    rule("an ARN of another Region finds nothing", "INF", |w| {
        let made = w.in_region(THERE).make()?;
        w.refused_as("DescribeSecret", json!({"SecretId": made.arn}), &["ResourceNotFoundException"]).map(drop)
    }),
    rule("one name can be in use in two Regions", "M endpoints", |w| {
        let made = w.make()?;
        w.in_region(THERE).make_as(&made.name, json!({})).map(drop)
    }),
    rule("a secret is created in another Region, too, when asked", "M CreateSecret AddReplicaRegions", |w| {
        let name = name();
        let body = json!({"Name": name, "ClientRequestToken": token(), "SecretString": "x", "AddReplicaRegions": [{"Region": THERE}]});
        same(status(&w.ok("CreateSecret", body)?), in_sync())?;
        same(w.in_region(THERE).value(&name, "AWSCURRENT")?, "x".to_owned())
    }),
    rule("a replica has the suffix of its primary and its own Region", "UG replication", |w| {
        let made = replicated(w)?;
        let arn = text(&w.in_region(THERE).describe(&made.name)?, "ARN");
        same(arn, made.arn.replace("us-east-1", THERE))
    }),
    rule("a replica follows its primary's versions", "UG replication", |w| {
        let made = replicated(w)?;
        let next = w.put(&made.name, "new", None)?;
        let there = w.in_region(THERE);
        same(there.value(&made.name, "AWSCURRENT")?, "new".to_owned())?;
        there.labels_are(&made.name, &[(&made.first, &["AWSPREVIOUS"]), (&next, &["AWSCURRENT"])])
    }),
    rule("a replica follows its primary's tags", "UG replication", |w| {
        let made = replicated(w)?;
        w.ok("TagResource", json!({"SecretId": made.name, "Tags": [{"Key": "k", "Value": "v"}]}))?;
        same(&w.in_region(THERE).describe(&made.name)?["Tags"], &json!([{"Key": "k", "Value": "v"}]))
    }),
    rule("primary and replica both name the primary's Region", "M DescribeSecret PrimaryRegion", |w| {
        let made = replicated(w)?;
        same(text(&w.describe(&made.name)?, "PrimaryRegion"), "us-east-1".to_owned())?;
        same(text(&w.in_region(THERE).describe(&made.name)?, "PrimaryRegion"), "us-east-1".to_owned())
    }),
    rule("a value is not put into a replica", "M ReplicateSecretToRegions", |w| {
        let made = replicated(w)?;
        let body = json!({"SecretId": made.name, "ClientRequestToken": token(), "SecretString": "x"});
        w.in_region(THERE).refused_as("PutSecretValue", body, BAD).map(drop)
    }),
    rule("labels are not moved on a replica", "M ReplicateSecretToRegions", |w| {
        let made = replicated(w)?;
        w.in_region(THERE).shift_refused(&made.name, "mine", None, Some(&made.first)).map(drop)
    }),
    rule("a replica is not deleted by itself", "M DeleteSecret", |w| {
        let made = replicated(w)?;
        w.in_region(THERE).refused_as("DeleteSecret", json!({"SecretId": made.name}), BAD).map(drop)
    }),
    rule("a primary is not deleted while it has replicas", "M DeleteSecret", |w| {
        let made = replicated(w)?;
        w.refused_as("DeleteSecret", json!({"SecretId": made.name}), BAD).map(drop)
    }),
    rule("a secret is not replicated to its own Region", "M ReplicateSecretToRegions", |w| {
        let made = w.make()?;
        let body = json!({"SecretId": made.name, "AddReplicaRegions": [{"Region": "us-east-1"}]});
        w.refused_as("ReplicateSecretToRegions", body, BAD).map(drop)
    }),
    rule("a name that is taken in the other Region makes the replica fail", "M ReplicationStatusType", |w| {
        let made = w.make()?;
        w.in_region(THERE).make_as(&made.name, json!({}))?;
        let body = json!({"SecretId": made.name, "AddReplicaRegions": [{"Region": THERE}]});
        same(status(&w.ok("ReplicateSecretToRegions", body)?), vec![(THERE.to_owned(), "Failed".to_owned())])
    }),
    rule("a name that is taken in the other Region is overwritten when forced", "M ForceOverwriteReplicaSecret", |w| {
        let made = w.make()?;
        w.in_region(THERE).make_as(&made.name, json!({"SecretString": "theirs"}))?;
        let body = json!({"SecretId": made.name, "AddReplicaRegions": [{"Region": THERE}], "ForceOverwriteReplicaSecret": true});
        same(status(&w.ok("ReplicateSecretToRegions", body)?), in_sync())?;
        same(w.in_region(THERE).value(&made.name, "AWSCURRENT")?, "first".to_owned())
    }),
    rule("replicating to the same Region twice leaves one replica", "M ReplicateSecretToRegions", |w| {
        let made = replicated(w)?;
        w.ok("ReplicateSecretToRegions", json!({"SecretId": made.name, "AddReplicaRegions": [{"Region": THERE}]}))?;
        same(status(&w.describe(&made.name)?), in_sync())
    }),
    rule("a removed replica is gone and its primary can be deleted", "M RemoveRegionsFromReplication", |w| {
        let made = replicated(w)?;
        w.ok("RemoveRegionsFromReplication", json!({"SecretId": made.name, "RemoveReplicaRegions": [THERE]}))?;
        w.in_region(THERE).refused_as("DescribeSecret", json!({"SecretId": made.name}), &["ResourceNotFoundException"])?;
        w.ok("DeleteSecret", json!({"SecretId": made.name})).map(drop)
    }),
    rule("a replica whose replication is stopped is a secret of its own", "M StopReplicationToReplica", |w| {
        let made = replicated(w)?;
        let there = w.in_region(THERE);
        there.ok("StopReplicationToReplica", json!({"SecretId": made.name}))?;
        there.put(&made.name, "own", None)?;
        must(w.value(&made.name, "AWSCURRENT")? == "first", "the primary changed")
    }),
    rule("a replica's key, and nothing else of it, is changed in its own Region", "UG standalone-secret", |w| {
        let made = replicated(w)?;
        let there = w.in_region(THERE);
        let update = |member: &str| json!({"SecretId": made.name, "ClientRequestToken": token(), member: "alias/there"});
        there.refused_as("UpdateSecret", update("Description"), BAD)?;
        there.ok("UpdateSecret", update("KmsKeyId"))?;
        same(text(&there.describe(&made.name)?, "KmsKeyId"), "alias/there".to_owned())?;
        same(text(&w.describe(&made.name)?["ReplicationStatus"][0], "KmsKeyId"), "alias/there".to_owned())?;
        must(w.describe(&made.name)?.get("KmsKeyId").is_none(), "the primary's key changed")
    }),
    rule("a replica that failed is asked for again when its name is free", "M ReplicateSecretToRegions", |w| {
        let made = w.make()?;
        let there = w.in_region(THERE);
        there.make_as(&made.name, json!({}))?;
        let body = json!({"SecretId": made.name, "AddReplicaRegions": [{"Region": THERE}]});
        w.ok("ReplicateSecretToRegions", body.clone())?;
        there.ok("DeleteSecret", json!({"SecretId": made.name, "ForceDeleteWithoutRecovery": true}))?;
        same(status(&w.ok("ReplicateSecretToRegions", body)?), in_sync())
    }),
    timed("a new replica may be in progress for a while", "M ReplicationStatusType", |w, e| {
        e.set_replication_lag(Duration::from_mins(1));
        let made = replicated(w)?;
        same(status(&w.describe(&made.name)?), vec![(THERE.to_owned(), "InProgress".to_owned())])?;
        e.clock().advance(Duration::from_mins(1));
        same(status(&w.describe(&made.name)?), in_sync())
    }),
    rule("a secret that is no replica cannot stop being one", "M StopReplicationToReplica", |w| {
        let made = w.make()?;
        w.refused_as("StopReplicationToReplica", json!({"SecretId": made.name}), BAD).map(drop)
    }),
];
