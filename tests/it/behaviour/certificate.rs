//! An expired certificate: the object says so, and is Ready again with the next one.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::SignedDuration;
use rotated_secrets::api::NOT_AFTER;
use serde_json::json;

use super::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_ready_until_its_certificate_expires_and_again_after_a_rotation() -> Result<()> {
    let stage = Stage::new("certificate").await?;
    let tls = json!({"type": "TlsKeyPair", "commonName": "api", "validityDays": 2});
    let spec = json!({"value": {"generate": {"tls.key": tls}}, "target": {"type": "kubernetes.io/tls", "keys": {
        "tls.key": "tls.key", "tls.crt": "tls.crt", "ca.crt": "ca.crt"
    }}});
    stage.settled("app", spec).await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    let until = stage.status("app").await?.mirror.and_then(|mirror| mirror.not_after).context("the status tells it")?;
    let annotations = stage.secret("app").await?.metadata.annotations.unwrap_or_default();
    assert_eq!(annotations.get(NOT_AFTER), Some(&until.0.to_string()));

    let left = until.0.duration_since(stage.now()) - SignedDuration::from_secs(10);
    stage.advance(left.try_into()?);
    let again = stage.reconcile("app").await?.again.context("it is reconciled again")?;
    ensure!(again <= Duration::from_secs(10), "at the time of its end: {again:?}");
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    stage.advance(Duration::from_secs(10));
    stage.settle("app").await?;
    let message = stage.expect("app", "Ready", "False", "CertificateExpired").await?;
    ensure!(message.contains(&until.0.to_string()), "{message}");
    stage.expect("app", "Mirrored", "True", "Succeeded").await?;
    assert_eq!(stage.told("app", "Warning", "CertificateExpired").await?, 1);
    stage.assert_silence("app").await?;

    stage.world.request_rotation("app", "now").await?;
    stage.settle("app").await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    let next = stage.status("app").await?.mirror.and_then(|mirror| mirror.not_after).context("of the next one")?;
    ensure!(next.0 > until.0, "{next:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_without_a_certificate_takes_the_date_away() -> Result<()> {
    let stage = Stage::new("certificate").await?;
    let tls = json!({"type": "TlsKeyPair", "commonName": "api", "validityDays": 1, "certificateField": "crt", "caField": "ca"});
    stage.settled("app", json!({"value": {"generate": {"key": tls}}})).await?;
    ensure!(stage.status("app").await?.mirror.is_some_and(|mirror| mirror.not_after.is_some()));
    stage.world.patch("app", json!({"spec": {"value": {"generate": {"key": null, "password": {}}}}})).await?;
    stage.settle("app").await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    ensure!(stage.status("app").await?.mirror.is_some_and(|mirror| mirror.not_after.is_none()));
    ensure!(!stage.secret("app").await?.metadata.annotations.unwrap_or_default().contains_key(NOT_AFTER));
    Ok(())
}
