"""The stacks of CloudFormation that a deployment on AWS is made of."""
