"""A provider on your own machine: it speaks OpenAI's and Anthropic's HTTP and answers deterministically.

docs/reference/demo-upstream.md lists the model names that ask for faults and for special usage.
"""
