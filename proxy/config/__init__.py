"""
proxy.yaml, from bytes to values that can be trusted; all problems at once.

document
    YAML text as plain data that still knows its lines and columns (`document`).
section
    A group of settings as a strict model: `model`, `route`, `limits`, `service_user`; what single
    values look like stands in `values` and `secrets`.
method
    How a service user has its tokens, a model each (`service_user`): by a key of its own
    (`key_user`), as a client (`client_user`), for the tokens of others (`exchange_user`); `reading`
    makes credentials of them.
door
    What listeners ask of requests, and where this process listens, as `core` holds them (`door`).
quantity
    How many, how large, how long: a number with a unit and a range, or `off` (`quantity`).
draft, finding
    A configuration not yet believed, and one thing wrong with it (`draft`); a near miss of a method
    is judged as the method meant (`method`).
loaded
    A configuration that passed every check (`load`): shape (`words`), references and ties
    (`rules`, `user_rules`), files and keys (`files`); what is allowed but doubtful is a warning
    (`lint`, `ending`).
"""
