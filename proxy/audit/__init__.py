"""
What a configuration allows that somebody may regret: findings, each with how bad it would be.

rule, hit
    One question asked of every configuration, and one place where the answer is yes (`rule`); all
    rules stand in one table (`registry`).
evidence
    What rules look at: the settings, when keys end, who may read and change which file (`evidence`).
themes
    The rules themselves: how service users prove themselves (`credentials`), files (`files`), who
    can connect (`doors`), what callers are known by (`callers`), where requests go (`routes`), what
    tokens can do (`powers`), what nobody needs (`unused`), who operates all this (`operation`).
report
    The findings of one configuration with their positions (`report`); as SARIF (`sarif`).

`config.lint` says what will not work as written; here stands what works, and is a risk. Nothing
here reveals a secret, so no finding can show one.
"""
