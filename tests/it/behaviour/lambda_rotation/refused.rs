//! What is refused, by us and by AWS, with what to do instead.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_is_not_allowed_means_not_one_write_in_aws() -> Result<()> {
    let (stage, _) = prepared().await?;
    stage.external_writer().create(&stage.aws_name("theirs"), VALUE, &BTreeMap::new())?;
    let before = stage.aws();
    for globs in [None, Some(OTHER), Some("arn:aws:lambda:*:210987654321:function:rotate"), Some("rotate")] {
        allow(&stage, globs).await?;
        let mut request = owned();
        request["aws"] = json!({"tags": {"team": "shop"}});
        for (name, spec) in [("app", request), ("theirs", json!({"rotation": rotation()}))] {
            if stage.world.objects().get_opt(name).await?.is_none() {
                stage.settled(name, spec).await?;
            }
            stage.world.request_rotation(name, &format!("{globs:?}")).await?;
            stage.settle(name).await?;
            stage.expect(name, "Ready", "False", "FunctionNotAllowed").await?;
            let message = stage.expect(name, "Stalled", "True", "FunctionNotAllowed").await?;
            ensure!(message.contains(FUNCTION) && message.contains(ALLOWED_FUNCTIONS), "{message}");
        }
    }
    assert_eq!((stage.aws(), stage.aws_write_calls()), (before, 0));
    assert_eq!(stage.data("theirs").await?["password"], "theirs", "what may be mirrored is mirrored");

    allow(&stage, Some(FUNCTION)).await?;
    for name in ["app", "theirs"] {
        stage.settle(name).await?;
        stage.world.check_agreement(name).await?;
    }
    // Taken back, nothing is written, and what AWS goes on to rotate is mirrored.
    allow(&stage, None).await?;
    stage.world.emulator.counters().reset();
    edit(&stage, json!({"value": {"data": {"host": "db"}}, "aws": {"description": "new"}})).await?;
    stage.world.emulator.clock().set(aws(&stage).next.context("a date")? - HOUR);
    stage.settle("app").await?;
    stage.expect("app", "Rotated", "False", "FunctionNotAllowed").await?;
    stage.expect("app", "Mirrored", "True", "Succeeded").await?;
    assert_eq!(Some(stage.data("app").await?["password"].as_str()), stage.value("app")["password"].as_str());
    assert_eq!((stage.versions("app"), stage.aws_write_calls()), (3, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_by_aws_that_we_did_not_configure_is_refused_unless_it_is_the_declared_function() -> Result<()> {
    let turn_on = |stage: &Stage, function: &str| {
        let body = json!({
            "SecretId": stage.aws_name("app"), "ClientRequestToken": "0b7a4c52-57c5-4e0c-9e6f-9d2f7f1c2a11", "RotationLambdaARN": function,
            "RotationRules": {"AutomaticallyAfterDays": 7}, "RotateImmediately": false,
        });
        stage.external_writer().act("RotateSecret", &body).map(drop)
    };
    for (function, reason) in [(OTHER, "ForeignRotation"), (FUNCTION, "Succeeded")] {
        let (stage, _) = prepared().await?;
        stage.external_writer().create(&stage.aws_name("app"), VALUE, &BTreeMap::new())?;
        turn_on(&stage, function)?;
        stage.world.emulator.run_rotations().await;
        stage.advance(MINUTE);
        stage.settled("app", json!({"rotation": rotation()})).await?;
        let ours = reason == "Succeeded";
        let message = stage.expect("app", "Rotated", if ours { "True" } else { "False" }, reason).await?;
        stage.expect("app", "Mirrored", "True", "Succeeded").await?;
        if ours {
            assert_eq!(aws(&stage).rules, Some(json!({"ScheduleExpression": "rate(10 days)", "Duration": "2h"})));
        } else {
            ensure!(message.contains("cancel-rotate-secret"), "{message}");
            assert_eq!(stage.aws_write_calls(), 0);
        }
        stage.assert_silence("app").await?;
    }
    // Two objects and one secret: the second is refused.
    let (stage, _) = prepared().await?;
    stage.external_writer().create(&stage.aws_name("app"), VALUE, &BTreeMap::new())?;
    stage.settled("app", json!({"rotation": rotation()})).await?;
    let before = stage.aws();
    stage.settled("second", json!({"aws": {"secretName": stage.aws_name("app")}, "rotation": rotation()})).await?;
    stage.expect("second", "Rotated", "False", "NotOwned").await?;
    stage.expect("second", "Mirrored", "True", "Succeeded").await?;
    assert_eq!(stage.aws(), before);
    // And so is one that wants to rotate what another object made.
    stage.settled("made", json!({"value": {"data": {"a": "b"}}})).await?;
    let before = stage.aws();
    stage.settled("third", json!({"aws": {"secretName": stage.aws_name("made")}, "rotation": rotation()})).await?;
    stage.expect("third", "Rotated", "False", "NotOwned").await?;
    assert_eq!(stage.aws(), before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_aws_may_not_invoke_is_told_of_with_what_to_type() -> Result<()> {
    let (stage, function) = prepared().await?;
    stage.world.emulator.set_rotation_function(FUNCTION, None);
    stage.settled("app", owned()).await?;
    let message = stage.expect("app", "Rotated", "False", "AccessDenied").await?;
    ensure!(message.contains("aws lambda add-permission") && message.contains("secretsmanager:RotateSecret"), "{message}");
    stage.expect("app", "Mirrored", "True", "Succeeded").await?;
    stage.world.emulator.set_rotation_function(FUNCTION, Some(function as Arc<dyn RotationFunction>));
    stage.advance(HOUR);
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    ensure!(aws(&stage).enabled, "on");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_aws_would_refuse_leaves_rotation_as_it_is() -> Result<()> {
    let (stage, _) = prepared().await?;
    stage.settled("app", owned()).await?;
    let before = stage.aws();
    for (change, words) in [
        (json!({"schedule": "cron(0 20 * * ? *)", "duration": "5h"}), "write at most 4h"),
        (json!({"schedule": "cron(0 0/2 * * ? *)", "duration": "2h"}), "every four hours at most"),
        (json!({"lambda": {"functionArn": FUNCTION.replace("eu-central-1", "us-east-1")}}), "name a function in eu-central-1"),
    ] {
        allow(&stage, Some("*")).await?;
        edit(&stage, json!({"rotation": change})).await?;
        let message = stage.expect("app", "Rotated", "False", "InvalidSpec").await?;
        ensure!(message.contains(words), "{message}");
        stage.expect("app", "Stalled", "True", "InvalidSpec").await?;
    }
    assert_eq!(stage.aws(), before);
    edit(&stage, json!({"rotation": rotation()})).await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    assert_eq!(stage.aws(), before);
    Ok(())
}
