"""How each subject of the exchange is put together; `exchange.app` puts the subjects together."""
