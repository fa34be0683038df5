#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_a_rotation_function_of_aws_has_rotated_keeps_its_fields() -> Result<()> {
    let scene = Scene::new("from_template").await?;
    let (stage, name) = (&scene.stage, scene.stage.aws_name("app"));
    let function = "arn:aws:lambda:eu-central-1:123456789012:function:SecretsManagerRDSPostgreSQLRotationSingleUser";
    let value = json!({
        "engine": "postgres", "host": "db.example.com", "port": 5432, "dbname": "orders", "username": scene.role, "password": OLD,
    });
    let writer = stage.external_writer();
    writer.put_value(&name, &value.to_string())?;
    let rotation = json!({"SecretId": name, "ClientRequestToken": "0b7a4c52-57c5-4e0c-9e6f-9d2f7f1c2a11", "RotationLambdaARN": function, "RotateImmediately": false, "RotationRules": {"AutomaticallyAfterDays": 30}});
    writer.act("RotateSecret", &rotation)?;
    writer.set_tag(&name, ADOPT_BY, &format!("{}/app", stage.world.namespace))?;
    stage.world.create("app", scene.spec()).await?;
    stage.settle("app").await?;
    stage.expect("app", "Ready", "False", "ForeignRotation").await?;

    writer.act("CancelRotateSecret", &json!({"SecretId": name}))?;
    stage.advance(5 * MINUTE);
    stage.settle("app").await?;
    scene.request("now").await?;
    let password = scene.check(3).await?;
    ensure!(password != OLD && !scene.postgres.accepts(scene.role, OLD)?);
    let mut expected = value;
    expected["password"] = json!(password);
    assert_eq!(stage.value("app"), expected, "every field of the template stays");
    Ok(())
}
