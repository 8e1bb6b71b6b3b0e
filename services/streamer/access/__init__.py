"""Who may use the page, the API and the pictures: one check before every request, and the login.

`guard.py` registers it with Flask. `hosts.py`, `addresses.py` and `failed_logins.py` hold the rules and know neither
Flask nor Redis; `credentials.py` reads tokens and sessions from Redis.
"""
