-- Health of a RotatedSecret in Argo CD (docs/gitops.md).
-- It calls no function of Lua's libraries, so that it also runs where none is allowed.
local hs = { status = "Progressing", message = "the operator has not reconciled the object yet" }
local generation = obj.metadata.generation
local status = obj.status or {}
local conditions = status.conditions or {}

local found = {}
for i = 1, #conditions do
  found[conditions[i].type] = conditions[i]
end
local ready = found.Ready

local function is(kind, truth)
  return found[kind] ~= nil and found[kind].status == truth
end

local function report(health, condition)
  hs.status = health
  hs.message = condition.reason .. ": " .. condition.message
  return hs
end

if obj.metadata.deletionTimestamp ~= nil then
  hs.message = "the object is being deleted"
  if is("Ready", "False") and ready.observedGeneration == generation then
    hs.message = ready.reason .. ": " .. ready.message
  end
  return hs
end

if ready == nil then
  return hs
end

-- After a failure only the conditions are of the last generation, and in a suspension only the status is.
if ready.observedGeneration ~= generation and status.observedGeneration ~= generation then
  hs.message = "the operator has not reconciled the last change of the spec yet"
  return hs
end

if is("Stalled", "True") then
  return report("Degraded", found.Stalled)
end

-- Reasons with which nothing has failed.
local waits = {
  Creating = true, Progressing = true, Suspended = true, Waiting = true, Overdue = true, MissedWindow = true,
}

if ready.reason == "Suspended" then
  -- What had failed before the suspension is not repaired in it.
  local aspects = { "Provisioned", "Mirrored", "Rotated", "RolledOut" }
  for i = 1, #aspects do
    if is(aspects[i], "False") and not waits[found[aspects[i]].reason] then
      return report("Degraded", found[aspects[i]])
    end
  end
  -- With spec.rotation.suspend alone, the Secret is kept up to date.
  local rotation = found.Rotated
  if rotation ~= nil and rotation.reason == "Suspended" and rotation.status == "False" and is("Mirrored", "True")
    and not (obj.spec.suspend == true) then
    return report("Healthy", ready)
  end
  return report("Suspended", ready)
end

if ready.status == "True" then
  report("Healthy", ready)
  if is("RolledOut", "False") then
    hs.message = hs.message .. "; " .. found.RolledOut.message
  end
  return hs
end

-- The Secret is there with the current value, and only the next rotation is late. It may wait for a workload that a
-- later sync wave repairs, so the waves go on.
local late = ready.reason == "Overdue" or ready.reason == "MissedWindow" or ready.reason == "Waiting"
if late and not is("Provisioned", "False") and not is("Mirrored", "False") then
  return report("Healthy", ready)
end

-- A few failures in a row often end without user action.
local failures = status.failures
if failures ~= nil and failures.count >= 5 then
  return report("Degraded", ready)
end
-- The source of an existing Secret is gone.
if ready.reason == "SecretNotFound" and status.mirror ~= nil then
  return report("Degraded", ready)
end
return report("Progressing", ready)
