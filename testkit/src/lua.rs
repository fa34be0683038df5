//! Health checks for Argo CD, in a Lua that has no library at all.

use anyhow::{Result, anyhow};
use mlua::{Lua, LuaOptions, StdLib, Table};
use serde_json::Value;

/// What a health check says of an object: status and message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    pub status: String,
    pub message: String,
}

/// Runs the script as Argo CD does: the object is the global `obj`, and the result is a table. No other name is known,
/// not even those of the base library.
pub fn health(script: &str, object: &Value) -> Result<Health> {
    run(script, object).map_err(|error| anyhow!("the health check fails: {error}"))
}

fn run(script: &str, object: &Value) -> mlua::Result<Health> {
    let lua = Lua::new_with(StdLib::NONE, LuaOptions::default())?;
    let names = lua.create_table()?;
    names.set("obj", value(&lua, object)?)?;
    let health: Table = lua.load(script).set_name("health.lua").set_environment(names).eval()?;
    Ok(Health { status: health.get("status")?, message: health.get("message")? })
}

/// As Argo CD translates JSON: null is nil, and every number is a float.
fn value(lua: &Lua, json: &Value) -> mlua::Result<mlua::Value> {
    Ok(match json {
        Value::Null => mlua::Value::Nil,
        Value::Bool(truth) => mlua::Value::Boolean(*truth),
        Value::Number(number) => mlua::Value::Number(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => mlua::Value::String(lua.create_string(text)?),
        Value::Array(items) => {
            let table = lua.create_table()?;
            for item in items {
                table.push(value(lua, item)?)?;
            }
            mlua::Value::Table(table)
        }
        Value::Object(fields) => {
            let table = lua.create_table()?;
            for (name, field) in fields {
                table.set(name.as_str(), value(lua, field)?)?;
            }
            mlua::Value::Table(table)
        }
    })
}
