"""Models in the format of diffusers: a folder of JSON and safetensors, written and read without that library."""
