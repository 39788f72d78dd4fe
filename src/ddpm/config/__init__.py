"""Parameters: params.yaml as frozen, typed, validated sections."""
