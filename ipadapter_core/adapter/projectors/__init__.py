"""The small networks that turn an encoder's features into image tokens. Parameter names are the published files'."""
