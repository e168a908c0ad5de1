"""Training on a borrowed GPU: packed here, trained there, validated and shipped here."""
