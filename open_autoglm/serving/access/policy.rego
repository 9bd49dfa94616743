# Who may do what: a scope allows the action of its name, and a tenant's resources are that tenant's alone.
# The input is described in docs/who-may-do-what.md; 'allow' must be true, or the answer is no.
package open_autoglm

import rego.v1

default allow := false

allow if {
	within_reach
	some scope in input.caller.scopes
	grants(scope, input.action)
}

# What no tenant owns is everybody's: a model, an index that is served to all.
within_reach if input.resource.tenant == ""

within_reach if input.resource.tenant == input.caller.tenant

# Which model takes traffic is for administrators alone.
grants(scope, action) if {
	scope == action
	action != "rollout"
}

# All that users do; what operators do needs its own scope.
grants("*", action) if {
	action != "rollout"
	action != "metrics"
}

grants("admin", _) := true
