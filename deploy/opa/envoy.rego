# What Envoy asks before a request reaches the server, put to the server's own policy as the server would put it.
# A request that this cannot put into a question is refused. 'result' is what OPA's plugin for Envoy reads.
package open_autoglm_envoy

import rego.v1

default allow := false

allow if {
	request.method in {"GET", "HEAD"}
	open_to_all
}

allow if {
	asked := question
	data.open_autoglm.allow with input as asked
}

result := {"allowed": true} if allow

result := refusal if not allow

refusal := {
	"allowed": false,
	"http_status": 403,
	"headers": {"content-type": "application/json"},
	"body": json.marshal({"error": {"type": "Forbidden", "message": "You may not do this."}}),
} if {
	claims
}

refusal := {
	"allowed": false,
	"http_status": 401,
	"headers": {"content-type": "application/json", "www-authenticate": "Bearer"},
	"body": json.marshal({"error": {"type": "Unauthorized", "message": "Say who you are: send a token."}}),
} if {
	not claims
}

# The same document as in docs/who-may-do-what.md. Envoy sends no body, so that pictures do not pass through here: what
# only a body names, the model for one, the server asks its policy about itself.
question := {
	"action": action,
	"method": request.method,
	"path": path,
	"caller": {"tenant": tenant, "subject": claims.sub, "scopes": scopes},
	"resource": {"index": index, "model": "", "tenant": ""},
}

request := input.attributes.request.http

path := split(request.path, "?")[0]

segments := split(trim_prefix(path, "/"), "/")

# What a good token says: from Envoy's own check of it, or where Istio hands it on in a header (see docs/deploy.md).
claims := input.attributes.metadataContext.filterMetadata["envoy.filters.http.jwt_authn"].token

claims := json.unmarshal(handed_on) if json.is_valid(handed_on)

handed_on := base64url.decode(request.headers[data.edge.claims_header])

tenant := claims[tenant_claim]

default tenant_claim := "tenant"

tenant_claim := data.edge.tenant_claim

scopes := split(claims[scopes_claim], " ") if is_string(claims[scopes_claim])

scopes := claims[scopes_claim] if is_array(claims[scopes_claim])

default scopes_claim := "scope"

scopes_claim := data.edge.scopes_claim

default index := ""

index := segments[2] if {
	segments[1] == "indexes"
	count(segments) > 2
}

open_to_all if path in {"/", "/live", "/openapi.json", "/ready", "/rollout"}

open_to_all if startswith(path, "/page/")

# A route that is not here asks for no action, and so is refused.
action := "metrics" if path == "/metrics"

action := actions[segments[1]] if segments[0] == "v1"

action := "search" if {
	indexes
	request.method in {"GET", "HEAD"}
}

action := "write" if {
	indexes
	not request.method in {"GET", "HEAD"}
}

indexes if {
	segments[0] == "v1"
	segments[1] == "indexes"
}

actions := {
	"ask": "ask",
	"chat": "chat",
	"classify": "classify",
	"embeddings": "embed",
	"examples": "search",
	"feedback": "search",
	"ground": "ground",
	"info": "search",
	"models": "models",
	"pictures": "search",
	"rerank": "rerank",
	"rollout": "rollout",
	"search": "search",
}
